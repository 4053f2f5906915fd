package kernel

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"failoverd/failover"
)

// objectWorld is a network namespace with two interfaces, eth0 (10.0.0.1/24, 2001:db8::1/64) and eth1 (10.0.1.1/24,
// 2001:db8:1::1/64), in which iproute2 plays the administrator.
type objectWorld struct {
	*realWorld
	t testing.TB
}

func newObjectWorld(t testing.TB) *objectWorld {
	t.Helper()
	w := &objectWorld{newRealWorld(t), t}
	w.addLink("eth0")
	w.addLink("eth1")
	for dev, prefixes := range map[string][]string{
		"eth0": {"10.0.0.1/24", "2001:db8::1/64"}, "eth1": {"10.0.1.1/24", "2001:db8:1::1/64"},
	} {
		for _, p := range prefixes {
			w.addAddress(p, dev)
		}
	}
	return w
}

// try runs iproute2 in the namespace.
func (w *objectWorld) try(words string) (string, error) {
	var out []byte
	var err error
	w.ns.do(func() { out, err = exec.Command("ip", strings.Fields(words)...).CombinedOutput() })
	return string(out), err
}

func (w *objectWorld) ip(words string) string {
	w.t.Helper()
	out, err := w.try(words)
	if err != nil {
		w.t.Fatalf("ip %s: %v: %s", words, err, out)
	}
	return out
}

// routeLines returns what iproute2 shows of the routes with a destination, each as JSON with sorted names.
func (w *objectWorld) routeLines(dst netip.Prefix) []string {
	w.t.Helper()
	family := "-4"
	if dst.Addr().Is6() {
		family = "-6"
	}
	name := dst.String()
	if dst.Bits() == 0 {
		name = "default"
	} else if dst.IsSingleIP() {
		name = dst.Addr().String()
	}
	return w.jsonLines(family+" -j -d route show table all", func(o map[string]any) bool { return o["dst"] == name })
}

// ruleLines returns what iproute2 shows of the rules of a family, but for those that every namespace has.
func (w *objectWorld) ruleLines(family string) []string {
	w.t.Helper()
	return w.jsonLines(family+" -j -d rule show", func(o map[string]any) bool { return o["protocol"] != "kernel" })
}

func (w *objectWorld) jsonLines(words string, keep func(map[string]any) bool) (lines []string) {
	w.t.Helper()
	var list []map[string]any
	if err := json.Unmarshal([]byte(w.ip(words)), &list); err != nil {
		w.t.Fatal(err)
	}
	for _, o := range list {
		if keep(o) {
			b, err := json.Marshal(o)
			w.check(err)
			lines = append(lines, string(b))
		}
	}
	slices.Sort(lines)
	return lines
}

// ours returns the destinations of all routes, and the number of rules, that carry our number.
func (w *objectWorld) ours() (routes []string, rules int) {
	w.t.Helper()
	for _, family := range []string{"-4", "-6"} {
		for line := range strings.Lines(w.ip(family + " -o route show table all proto 112")) {
			routes = append(routes, strings.Join(strings.Fields(line), " "))
		}
		rules += len(w.jsonLines(family+" -j -d rule show", func(o map[string]any) bool { return o["protocol"] == "112" }))
	}
	return routes, rules
}

func (w *objectWorld) openObjects() *netlinkObjects {
	var h *netlinkObjects
	var err error
	w.ns.do(func() { h, err = openObjects(slog.New(slog.DiscardHandler)) })
	w.check(err)
	return h
}

// runningObjects is Objects that run, and what it reported.
type runningObjects struct {
	t       testing.TB
	objects *Objects
	cancel  context.CancelFunc
	done    chan struct{}

	mu         sync.Mutex
	reports    []failover.ObjectReport
	generation uint64
}

func startObjects(t testing.TB, host objectHost, o ObjectOptions) *runningObjects {
	t.Helper()
	r := &runningObjects{t: t, objects: newObjects(slog.New(slog.DiscardHandler), o, host), done: make(chan struct{})}
	var ctx context.Context
	ctx, r.cancel = context.WithCancel(context.Background())
	go func() {
		defer close(r.done)
		if err := r.objects.Run(ctx, r.add); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	t.Cleanup(func() {
		r.stop()
		if err := r.objects.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return r
}

func (r *runningObjects) add(rep failover.ObjectReport) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reports = append(r.reports, rep)
}

// stop ends Run as a crash would: nothing is removed.
func (r *runningObjects) stop() {
	r.cancel()
	<-r.done
}

func (r *runningObjects) all() []failover.ObjectReport {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.reports)
}

func (r *runningObjects) last() (rep failover.ObjectReport) {
	if all := r.all(); len(all) > 0 {
		rep = all[len(all)-1]
	}
	return rep
}

// set asks for routes and rules and returns the first report that answers.
func (r *runningObjects) set(routes []failover.KernelRoute, rules ...failover.KernelRule) failover.ObjectReport {
	r.t.Helper()
	r.generation++
	r.objects.Set(failover.DesiredObjects{Generation: r.generation, Routes: routes, Rules: rules})
	within(r.t, soon, "answered", func() bool { return r.last().Generation == r.generation })
	for _, rep := range r.all() {
		if rep.Generation == r.generation {
			return rep
		}
	}
	return failover.ObjectReport{}
}

// clean sets and checks that nothing failed.
func (r *runningObjects) clean(routes []failover.KernelRoute, rules ...failover.KernelRule) failover.ObjectReport {
	r.t.Helper()
	rep := r.set(routes, rules...)
	if len(rep.RoutesFailed)+len(rep.RulesFailed) > 0 {
		r.t.Fatalf("failed: %v %v", rep.RoutesFailed, rep.RulesFailed)
	}
	return rep
}

// routesRestored returns how often a route was reported as put back.
func (r *runningObjects) routesRestored(k failover.RouteKey) (n int) {
	for _, rep := range r.all() {
		for _, other := range rep.RoutesRestored {
			if other == k {
				n++
			}
		}
	}
	return n
}

// failure returns what the newest report says about a route.
func (r *runningObjects) failure(k *failover.KernelRoute) string {
	return r.last().RoutesFailed[k.Key()]
}

func routes(list ...failover.KernelRoute) []failover.KernelRoute { return list }

// unicast returns a route with a gateway, an interface, or both.
func unicast(dst, gateway, dev string) failover.KernelRoute {
	r := failover.KernelRoute{Type: 1, Destination: prefix(dst), Interface: dev, Table: 254}
	if gateway != "" {
		r.Gateway = netip.MustParseAddr(gateway)
	} else if r.Destination.Addr().Is4() {
		r.Scope = 253
	}
	return r
}

// toTable returns the rule "from PREFIX table N preference N".
func toTable(from string, table uint32) failover.KernelRule {
	r := failover.KernelRule{Action: 1, Table: table, Priority: table}
	if from != "" {
		r.From = prefix(from)
		r.IPv6 = r.From.Addr().Is6()
	}
	return r
}

// soonShows waits until iproute2 shows so many routes of ours.
func (w *objectWorld) soonShows(what string, n int) time.Duration {
	w.t.Helper()
	return within(w.t, soon, what, func() bool {
		list, _ := w.ours()
		return len(list) == n
	})
}
