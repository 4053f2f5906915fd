package lab

import (
	"fmt"
	"sort"
	"time"
)

// Outage is a run of probes without an answer.
type Outage struct {
	// From is when the first lost probe was sent; To when the first answer after it arrived, or when the last probe was
	// sent if there was none.
	From, To time.Time
	// Lost is the number of probes in between.
	Lost int
	// Open is true when no answer has come since.
	Open bool
	// Before and After are the names of who answered last before and first after it.
	Before, After string
	// Blind is how long, next to its end, no probe was sent although one was due: the outage may have ended so much
	// earlier.
	Blind time.Duration
}

// Duration returns the length as the client saw it.
func (o Outage) Duration() time.Duration { return o.To.Sub(o.From) }

// String returns the length, the number of lost probes, and who answered.
func (o Outage) String() string {
	if o.Lost == 0 {
		return "none"
	}
	if o.Open {
		return fmt.Sprintf("%v (%d probes, not over)", o.Duration(), o.Lost)
	}
	return fmt.Sprintf("%v (%d probes, %s to %s)", o.Duration(), o.Lost, o.Before, o.After)
}

// answerTimeout is how long a probe may be on its way before it counts as lost: far above any round trip in a lab, also
// on a busy machine.
const answerTimeout = 250 * time.Millisecond

// Outages returns the outages that touch the time from from to to, in order. A single lost probe is one. Probes of the
// last quarter of a second may still be answered, and count only together with older ones.
func (p *Probe) Outages(from, to time.Time) []Outage {
	p.mu.Lock()
	defer p.mu.Unlock()
	return outages(p.samples, p.names, time.Now().UnixNano(), from.UnixNano(), to.UnixNano())
}

// Longest returns the longest outage that touches the time from from to to; the zero value when there is none.
func (p *Probe) Longest(from, to time.Time) (longest Outage) {
	for _, o := range p.Outages(from, to) {
		if o.Duration() > longest.Duration() {
			longest = o
		}
	}
	return longest
}

// outages is Outages on plain values: samples in the order of sending, times in nanoseconds.
func outages(samples []sample, names []string, now, from, to int64) []Outage {
	var out []Outage
	for i := 0; i < len(samples); {
		if samples[i].received != 0 {
			i++
			continue
		}
		j := i // the first probe after the run
		for j < len(samples) && samples[j].received == 0 {
			j++
		}
		if o, ok := outage(samples, names, i, j, now); ok && o.To.UnixNano() >= from && o.From.UnixNano() <= to {
			out = append(out, o)
		}
		i = j
	}
	return out
}

// outage describes the run of unanswered probes from i up to, and without, j.
func outage(samples []sample, names []string, i, j int, now int64) (Outage, bool) {
	o := Outage{From: time.Unix(0, samples[i].sent), Lost: j - i}
	if i > 0 {
		o.Before = names[samples[i-1].from]
	}
	if j == len(samples) {
		o.Open, o.To = true, time.Unix(0, samples[j-1].sent)
		return o, now-samples[i].sent > int64(answerTimeout)
	}
	o.To, o.After = time.Unix(0, samples[j].received), names[samples[j].from]
	o.Blind = max(0, time.Duration(samples[j].sent-samples[j-1].sent)-ProbeInterval)
	return o, true
}

// FirstAnswer returns when the first probe sent at or after since was answered and by whom. With a name only answers
// of that node count.
func (p *Probe) FirstAnswer(since time.Time, name string) (time.Time, string, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	start := sort.Search(len(p.samples), func(i int) bool { return p.samples[i].sent >= since.UnixNano() })
	for _, s := range p.samples[start:] {
		if s.received != 0 && (name == "" || p.names[s.from] == name) {
			return time.Unix(0, s.received), p.names[s.from], true
		}
	}
	return time.Time{}, "", false
}

// Answers returns how many of the probes sent from from to to each node answered.
func (p *Probe) Answers(from, to time.Time) map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make(map[string]int)
	for _, s := range p.samples {
		if s.received != 0 && s.sent >= from.UnixNano() && s.sent <= to.UnixNano() {
			out[p.names[s.from]]++
		}
	}
	return out
}

// Health is what a probe sees now.
type Health struct {
	// Answering is true when the newest probe that can have been answered was.
	Answering bool
	// Node answered last; empty before the first answer.
	Node string
	// Silent is how long the newest run of lost probes has lasted, 0 when Answering.
	Silent time.Duration
	// Since is when that run began.
	Since time.Time
}

// Health returns what the probe sees now. An answer counts as overdue after grace, and only if probes were sent during
// half of that time at least: otherwise it is this machine that is too busy.
func (p *Probe) Health(grace time.Duration) Health {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now().UnixNano()
	i := len(p.samples) - 1
	for i >= 0 && p.samples[i].received == 0 {
		i--
	}
	h := Health{Answering: true}
	if i >= 0 {
		h.Node = p.names[p.samples[i].from]
	}
	if i+1 < len(p.samples) {
		first := p.samples[i+1].sent
		unanswered := time.Duration(len(p.samples)-1-i) * ProbeInterval
		if silent := time.Duration(now - first); silent > grace && unanswered >= grace/2 {
			h.Answering, h.Silent, h.Since = false, silent, time.Unix(0, first)
		}
	}
	return h
}
