package integration

import (
	"context"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"failoverd/bgp"
	"failoverd/integration/lab"
)

// scheduler is the topology of the recipe scheduler: three nodes on a network with two upstreams, a network for monitoring
// with Prometheus on it, and a way of its own for each node to the region. That of a has weather.
type scheduler struct {
	t      *testing.T
	lab    *lab.Lab
	nodes  map[string]*lab.Node
	region *lab.Node
	up     [2]*bird
	wire   *lab.Wire
	agents map[string]*agent
	seen   [2]*lab.Capture // of what arrives at the upstreams
}

func newScheduler(t *testing.T) *scheduler {
	t.Helper()
	notShort(t)
	need(t, "bird", "prometheus", "prometheus-blackbox-exporter")
	s := &scheduler{t: t, lab: lab.ForTest(t), nodes: map[string]*lab.Node{}, agents: map[string]*agent{}}
	edge, monitoring, far := s.makeSwitch("edge"), s.makeSwitch("mon"), s.makeSwitch("far")
	for i, name := range []string{"a", "b", "c"} {
		last := string(rune('1' + i))
		n := s.node(name)
		s.nodes[name] = n
		s.plug(edge, n, "eth0", "203.0.113."+last+"/24")
		s.plug(monitoring, n, "mon0", "10.9.0."+last+"/24")
		if name != "a" {
			s.plug(far, n, "gd0", "10.8.0."+last+"/24")
			continue
		}
		path := s.node("path")
		must(t, s.lab.Connect(path, "node", n, "gd0"))
		must(t, n.AddAddress("gd0", "10.8.0.1/24"))
		s.plug(far, path, "far", "")
		var err error
		s.wire, err = path.Wire("node", "far")
		must(t, err)
	}
	s.region = s.node("gd")
	s.plug(far, s.region, "eth0", "10.8.0.9/24")
	prom := s.node("prom")
	s.plug(monitoring, prom, "mon0", "10.9.0.9/24")
	for i, name := range []string{"up1", "up2"} {
		n := s.node(name)
		addr := []string{"203.0.113.11", "203.0.113.12"}[i]
		s.plug(edge, n, "eth0", addr+"/24")
		var err error
		s.seen[i], err = n.Capture("eth0")
		must(t, err)
		s.up[i] = startBirdText(t, s.lab, n, strings.ReplaceAll(exampleFile(t, "scheduler/upstream.bird", "203.0.113.11", addr),
			"as 64510", []string{"as 64510", "as 64520"}[i]))
	}
	s.monitor(prom)
	for name, n := range s.nodes {
		s.agents[name] = startExample(t, s.lab, n, "scheduler/node.conf", name)
	}
	return s
}

// monitor starts Prometheus, and a blackbox exporter on each node.
func (s *scheduler) monitor(prom *lab.Node) {
	s.t.Helper()
	file, err := s.lab.WriteFile("blackbox.yml", exampleFile(s.t, "scheduler/blackbox.yml"))
	must(s.t, err)
	for _, n := range s.nodes {
		_, err := n.Start(lab.Command{Argv: []string{"prometheus-blackbox-exporter", "--config.file=" + file, "--web.listen-address=:9115"}})
		must(s.t, err)
	}
	file, err = s.lab.WriteFile("prometheus.yml", exampleFile(s.t, "scheduler/prometheus.yml"))
	must(s.t, err)
	_, err = prom.Start(lab.Command{Argv: []string{
		"prometheus", "--config.file=" + file, "--storage.tsdb.path=" + filepath.Join(s.lab.Dir(), "tsdb"), "--web.listen-address=10.9.0.9:9090",
	}})
	must(s.t, err)
}

func (s *scheduler) node(name string) *lab.Node {
	s.t.Helper()
	n, err := s.lab.Node(name)
	must(s.t, err)
	return n
}

func (s *scheduler) makeSwitch(name string) *lab.Switch {
	s.t.Helper()
	sw, err := s.lab.Switch(name)
	must(s.t, err)
	return sw
}

// plug connects an interface of a node to a switch; without an address it is for a wire.
func (s *scheduler) plug(sw *lab.Switch, n *lab.Node, nic, addr string) {
	s.t.Helper()
	_, err := sw.Plug(n, nic)
	must(s.t, err)
	if addr != "" {
		must(s.t, n.AddAddress(nic, addr))
	}
}

// waitService waits until a node's service is in one of some states.
func (s *scheduler) waitService(name string, d time.Duration, states ...string) time.Duration {
	s.t.Helper()
	began, last := time.Now(), ""
	err := lab.WaitFor(s.t.Context(), d, name+" to be "+strings.Join(states, " or "), func() bool {
		st := s.agents[name].status()
		if st == nil || len(st.Services) != 1 {
			return false
		}
		last = st.Services[0].State + ": " + st.Services[0].Why
		for _, want := range states {
			if st.Services[0].State == want {
				return true
			}
		}
		return false
	})
	if err != nil {
		s.t.Fatalf("%v; it is %s", err, last)
	}
	return time.Since(began).Round(100 * time.Millisecond)
}

// guard notes how often an upstream had no route to the service, from now until the end of what it returns.
func (s *scheduler) guard() (end func() (looks, none int)) {
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	looks, none := 0, 0
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			for _, up := range s.up {
				looks++
				if strings.Contains(up.ask("show", "route", service), "Network not found") {
					none++
				}
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	return func() (int, int) {
		cancel()
		<-done
		return looks, none
	}
}

// changeKey is who changes what for whom.
type changeKey struct {
	node, upstream netip.Addr
	prefix         netip.Prefix
}

// changes returns when the nodes have changed what they announce to the upstreams since a time, in order.
func (s *scheduler) changes(since time.Time) map[changeKey][]time.Time {
	all := make(map[changeKey][]time.Time)
	for i, up := range []string{"203.0.113.11", "203.0.113.12"} {
		for _, m := range s.seen[i].BGP() {
			if !m.At.After(since) || m.Dst.String() != up {
				continue
			}
			for _, p := range slices.Concat(m.Announced, m.Withdrawn) {
				k := changeKey{m.Src, m.Dst, p}
				all[k] = append(all[k], m.At)
			}
		}
	}
	return all
}

// crowded returns the most of some times, in order, that are within any window of a length.
func crowded(times []time.Time, window time.Duration) (most int) {
	first := 0
	for i, at := range times {
		for at.Sub(times[first]) >= window {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

// TestCrowded: the window slides; a minute that begins with the clock's or with the first change would miss what is on its border.
func TestCrowded(t *testing.T) {
	for _, c := range []struct {
		name    string
		seconds []int
		want    int
	}{
		{"none", nil, 0},
		{"one", []int{7}, 1},
		{"a minute apart", []int{0, 60, 120}, 1},
		{"less than a minute apart", []int{0, 59, 118}, 2},
		{"across a full minute", []int{0, 58, 59, 61, 62, 119}, 4},
		{"few on average", []int{100, 101, 102, 600}, 3},
		{"at once", []int{5, 5, 5}, 3},
	} {
		var times []time.Time
		for _, s := range c.seconds {
			times = append(times, time.Unix(int64(s), 0))
		}
		if got := crowded(times, time.Minute); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// TestRegionalScheduler: a node whose way to a region is slow, then lossy, by what Prometheus and the blackbox exporter say,
// takes itself out and returns; when the region is gone for all of them, the last one stays.
func TestRegionalScheduler(t *testing.T) {
	t.Parallel()
	s := newScheduler(t)
	for _, name := range []string{"a", "b", "c"} {
		s.waitService(name, 20*time.Second, "ANNOUNCED")
	}
	for _, up := range s.up {
		waitFor(t, 20*time.Second, "all three routes at both upstreams", func() bool {
			return strings.Count(up.ask("show", "route", service), "[AS645") == 3
		})
	}
	begin := time.Now()
	end := s.guard()

	s.wire.Set(lab.Weather{Delay: 150 * time.Millisecond}) // in each direction
	took := s.waitService("a", 15*time.Second, "FAULT")
	t.Logf("RTT 300 ms: out after %v", took)
	if holds(t, s.nodes["a"], netip.MustParseAddr("198.51.100.10")) {
		waitFor(t, time.Second, "the address to go", func() bool { return !holds(t, s.nodes["a"], netip.MustParseAddr("198.51.100.10")) })
	}
	s.wire.Set(lab.Weather{})
	t.Logf("RTT 0 ms: back after %v", s.waitService("a", 15*time.Second, "ANNOUNCED"))

	s.wire.Set(lab.Weather{Loss: 0.3, Seed: 5})
	t.Logf("loss 30 %% each way: out after %v", s.waitService("a", 25*time.Second, "FAULT"))
	s.wire.Set(lab.Weather{})
	t.Logf("no loss: back after %v", s.waitService("a", 25*time.Second, "ANNOUNCED"))

	must(t, s.region.SetUp("eth0", false))
	for _, name := range []string{"a", "b", "c"} {
		s.waitService(name, 25*time.Second, "FAULT", "LAST")
	}
	time.Sleep(8 * time.Second) // settle, and what follows from it
	left := 0
	for _, name := range []string{"a", "b", "c"} {
		if s.agents[name].status().Services[0].State == "LAST" {
			left++
		}
	}
	looks, none := end()
	if left == 0 || none > 0 {
		t.Errorf("with the region gone for all, %d nodes are left; %d of %d times an upstream had no route", left, none, looks)
	}
	t.Logf("with the region gone for all, %d nodes are left; an upstream had a route in all of %d looks", left, looks)
	s.seldom(begin)
}

// seldom checks that no node has changed its route more often than max_changes within any minute since a time, and that a has
// changed it at all: it went and returned twice, and went.
func (s *scheduler) seldom(since time.Time) {
	const most = 12 // max_changes of the recipe
	s.t.Helper()
	waitFor(s.t, 10*time.Second, "each upstream to have seen five changes of a", func() bool {
		seen := 0
		for k, times := range s.changes(since) {
			if k.node.String() == "203.0.113.1" && k.prefix.String() == service && len(times) >= 5 {
				seen++
			}
		}
		return seen == len(s.seen)
	})
	for k, times := range s.changes(since) {
		// What the agent counts when it decides arrives a little later, and not always by as much.
		n := crowded(times, bgp.ChangeWindow-slack)
		s.t.Logf("%v changed %v for %v %d times in %v, at most %d times in a minute", k.node, k.prefix, k.upstream, len(times), time.Since(since).Round(time.Second), n)
		if n > most {
			s.t.Errorf("%v changed %v for %v %d times within a minute, want at most %d", k.node, k.prefix, k.upstream, n, most)
		}
	}
}
