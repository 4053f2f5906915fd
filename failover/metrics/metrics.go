// Package metrics shows an agent to Prometheus: a collector over the published snapshot, and an HTTP server for it.
//
// It has no state of its own: what a scrape says is what `failoverd status` says at that moment, and a scrape never waits
// for the agent's loop, nor the loop for a scrape. What there is, is declared in table.go; failover/docs/metrics.md lists it.
// Read Collector first, then Server.
package metrics

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"failoverd/failover"
)

// Collector turns snapshots into metrics. It may be used by several goroutines.
type Collector struct {
	snapshot func() *failover.Snapshot
	now      func() time.Time
}

// NewCollector returns a collector over what snapshot returns: the last published state, nil while there is none. It is
// called once for each scrape, by any goroutine, and must not wait.
func NewCollector(snapshot func() *failover.Snapshot) *Collector {
	return &Collector{snapshot: snapshot, now: time.Now}
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(out chan<- *prometheus.Desc) {
	for _, m := range table {
		out <- m.desc
	}
}

// Collect implements prometheus.Collector. Without a snapshot there is nothing: the absence is what an alert looks for.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	s := c.snapshot()
	if s == nil {
		return
	}
	r := recorder{out: out, s: s}
	r.agent(c.now())
	r.links()
	for i := range s.Routers {
		r.router(&s.Routers[i])
	}
	for i := range s.Services {
		r.service(&s.Services[i])
	}
	r.groups()
	r.checks()
	for i := range s.Speakers {
		r.speaker(&s.Speakers[i])
	}
	r.regions()
	r.partners()
	r.recovery()
}

// recorder writes the metrics of one snapshot.
type recorder struct {
	out chan<- prometheus.Metric
	s   *failover.Snapshot
}

// put writes one value. Labels are what configuration files say, so they may hold anything; Prometheus wants UTF-8.
func (r *recorder) put(m *metric, value float64, labels ...string) {
	for i := range labels {
		labels[i] = strings.ToValidUTF8(labels[i], "\uFFFD")
	}
	p, err := prometheus.NewConstMetric(m.desc, m.kind, value, labels...)
	if err != nil {
		p = prometheus.NewInvalidMetric(m.desc, err)
	}
	r.out <- p
}

// putTime writes a time in seconds since 1970; the zero time is none.
func (r *recorder) putTime(m *metric, t time.Time, labels ...string) {
	if !t.IsZero() {
		r.put(m, float64(t.UnixMilli())/1000, labels...)
	}
}

// putMillis writes a number of milliseconds in seconds; nil is none.
func (r *recorder) putMillis(m *metric, ms *float64, labels ...string) {
	if ms != nil {
		r.put(m, *ms/1000, labels...)
	}
}

// putSet writes a state set: one series for each state that there is, 1 for the one that holds. One that is not among them
// is written as well, so that it is seen.
func (r *recorder) putSet(m *metric, states []string, state string, labels ...string) {
	known := false
	for _, s := range states {
		known = known || s == state
		r.put(m, number(s == state), append(labels[:len(labels):len(labels)], s)...)
	}
	if !known {
		r.put(m, 1, append(labels[:len(labels):len(labels)], state)...)
	}
}

// putMap writes counters by a last label.
func (r *recorder) putMap(m *metric, by map[string]uint64, labels ...string) {
	for name, n := range by {
		r.put(m, float64(n), append(labels[:len(labels):len(labels)], name)...)
	}
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
