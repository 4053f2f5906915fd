package kernel

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/failover"
)

// scriptedObjects is a kernel that takes and refuses what a test tells it to, in virtual time.
type scriptedObjects struct {
	mu      sync.Mutex
	have    []routeEntry
	refuse  error // of writes
	broken  error // of listings
	writes  []time.Time
	lists   int
	changes []objectChange
	signal  chan struct{}
}

func newScriptedObjects() *scriptedObjects { return &scriptedObjects{signal: make(chan struct{}, 1)} }

// change lets a test change the kernel.
func (h *scriptedObjects) change(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
}

func (h *scriptedObjects) links() ([]link, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return []link{{index: 1, name: "eth0", flags: unix.IFF_UP}}, h.broken
}

func (h *scriptedObjects) routes(keep func(failover.RouteKey, uint8) bool) (list []routeEntry, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lists++
	for _, e := range h.have {
		if keep(e.key, e.proto) {
			list = append(list, e)
		}
	}
	return list, h.broken
}

func (h *scriptedObjects) rules() ([]ruleEntry, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return nil, h.broken
}

func (h *scriptedObjects) write(ops []objectOp) []error {
	h.mu.Lock()
	defer h.mu.Unlock()
	errs := make([]error, len(ops))
	for i := range ops {
		h.writes = append(h.writes, time.Now())
		if errs[i] = h.refuse; h.refuse != nil {
			continue
		}
		o := &ops[i]
		c := objectChange{
			kind: objectRoute, gone: o.kind == objectDelete, replaced: o.kind == objectReplace, port: h.port(), route: o.entry,
		}
		if o.route == nil {
			c.kind, c.rule = objectRule, o.rule
		} else if c.gone {
			h.have = nil
		} else {
			h.have = append(h.have, o.entry)
		}
		h.changes = append(h.changes, c)
	}
	return errs
}

func (h *scriptedObjects) port() uint32                   { return 7 }
func (h *scriptedObjects) subscribe() (objectFeed, error) { return (*scriptedFeed)(h), nil }
func (h *scriptedObjects) close() error                   { return nil }

// tell makes a notification.
func (h *scriptedObjects) tell(c objectChange) {
	h.change(func() { h.changes = append(h.changes, c) })
	h.signal <- struct{}{}
}

type scriptedFeed scriptedObjects

func (f *scriptedFeed) changed() <-chan struct{} { return f.signal }
func (f *scriptedFeed) close()                   {}

func (f *scriptedFeed) take() ([]objectChange, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	changes := f.changes
	f.changes = nil
	return changes, false
}

func TestRefusedRouteIsTriedLessAndLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newScriptedObjects()
		h.refuse = unix.EPERM
		r := startObjects(t, h, ObjectOptions{Resync: time.Hour})
		route, rule := unicast("10.8.0.0/16", "10.0.0.2", ""), toTable("10.8.0.0/16", 100)
		rep := r.set(routes(route), rule)
		const want = "not permitted: CAP_NET_ADMIN is missing"
		if rep.RoutesFailed[route.Key()] != want || rep.RulesFailed[rule] != want {
			t.Errorf("failed: %v %v", rep.RoutesFailed, rep.RulesFailed)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		var gaps []time.Duration
		for i := 2; i < len(h.writes); i += 2 {
			gaps = append(gaps, h.writes[i].Sub(h.writes[i-2]).Round(time.Second))
		}
		wantGaps := []time.Duration{1, 2, 4, 8, 16, 30, 30}
		for i, g := range wantGaps {
			if i >= len(gaps) || gaps[i] != g*time.Second {
				t.Fatalf("attempts after %v, want %v", gaps, wantGaps)
			}
		}
		if n := len(r.all()); n != 1 {
			t.Errorf("%d reports of the same", n)
		}
		// Something changes that may be the reason: it is tried at once, and seldom again.
		before := len(h.writes)
		for range 100 {
			h.tell(objectChange{kind: objectAddress})
			time.Sleep(time.Millisecond)
		}
		synctest.Wait()
		if n := (len(h.writes) - before) / 2; n < 1 || n > 2 {
			t.Errorf("%d attempts in 100 ms", n)
		}
		h.change(func() { h.refuse = nil })
		time.Sleep(2 * firstObjectRetry)
		synctest.Wait()
		if rep := r.last(); len(rep.RoutesFailed)+len(rep.RulesFailed) != 0 {
			t.Errorf("still failed: %v %v", rep.RoutesFailed, rep.RulesFailed)
		}
	})
}

// What cannot be removed is tried again; what somebody else was quicker to remove is gone.
func TestRouteThatCannotBeRemoved(t *testing.T) {
	for _, row := range []struct {
		name   string
		refuse error
		gone   bool
	}{{"not permitted", unix.EPERM, false}, {"gone already", unix.ESRCH, true}} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newScriptedObjects()
				r := startObjects(t, h, ObjectOptions{Resync: time.Hour})
				r.clean(routes(unicast("10.8.0.0/16", "10.0.0.2", "")))
				h.change(func() {
					h.refuse, h.writes = row.refuse, nil
					if row.gone {
						h.have = nil
					}
				})
				r.clean(nil)
				time.Sleep(firstObjectRetry / 2)
				synctest.Wait()
				if len(h.writes) != 1 {
					t.Errorf("%d attempts", len(h.writes))
				}
				h.change(func() { h.refuse = nil })
				time.Sleep(firstObjectRetry)
				synctest.Wait()
				if want := map[bool]int{false: 2, true: 1}[row.gone]; len(h.writes) != want || len(h.have) != 0 {
					t.Errorf("%d attempts, want %d; left: %v", len(h.writes), want, h.have)
				}
			})
		})
	}
}

func TestRoutesThatCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newScriptedObjects()
		h.broken = errors.New("out of order")
		r := startObjects(t, h, ObjectOptions{Resync: time.Hour})
		route := unicast("10.8.0.0/16", "10.0.0.2", "")
		rep := r.set(routes(route))
		if why := rep.RoutesFailed[route.Key()]; why != "kernel cannot be read: out of order" || len(h.writes) != 0 {
			t.Errorf("%q, %d writes", why, len(h.writes))
		}
		time.Sleep(10*retryAfter + retryAfter/2)
		synctest.Wait()
		h.change(func() { h.broken = nil })
		time.Sleep(retryAfter)
		synctest.Wait()
		if rep := r.last(); len(rep.RoutesFailed) != 0 || len(h.have) != 1 {
			t.Errorf("still failed: %v", rep.RoutesFailed)
		}
	})
}

// Somebody who changes a route of ours all the time does not keep us busy with listings.
func TestListingsAreRare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newScriptedObjects()
		r := startObjects(t, h, ObjectOptions{Resync: time.Hour})
		route := unicast("10.8.0.0/16", "10.0.0.2", "")
		r.clean(routes(route))
		synctest.Wait()
		before, entry := h.lists, h.have[0]
		for range 1000 {
			h.tell(objectChange{kind: objectRoute, port: 9, route: entry})
			time.Sleep(time.Millisecond)
		}
		synctest.Wait()
		if n := h.lists - before; n < 10 || n > 1000*int(time.Millisecond)/int(listingGap)+1 {
			t.Errorf("%d listings in a second", n)
		}
		if n := len(r.all()); n != 1 {
			t.Errorf("%d reports of the same", n)
		}
	})
}

// What was asked for last is carried out even if the end comes first.
func TestObjectsLastSetBeforeTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newScriptedObjects()
		r := startObjects(t, h, ObjectOptions{})
		r.clean(routes(unicast("10.8.0.0/16", "10.0.0.2", "")))
		r.objects.Set(failover.DesiredObjects{Generation: 2})
		r.stop()
		if len(h.have) != 0 || r.last().Generation != 2 {
			t.Errorf("left: %v, reported %d", h.have, r.last().Generation)
		}
	})
}

func TestReasonsInWords(t *testing.T) {
	links := newTable()
	links.putLink(link{index: 1, name: "eth0"})
	e := routeEntry{hops: []hop{{gateway: addr("10.0.0.2"), index: 1}}, routeContent: routeContent{source: addr("10.0.0.9")}}
	back := failover.KernelRule{Action: 2, Goto: 5, Priority: 9}
	for _, row := range []struct{ got, want string }{
		{routeReason(unix.EPERM, &e, links), "not permitted"},
		{routeReason(unix.EEXIST, &e, links), "somebody else"},
		{routeReason(unix.ENETUNREACH, &e, links), "gateway 10.0.0.2 cannot be reached directly"},
		{routeReason(unix.EHOSTUNREACH, &e, links), "gateway 10.0.0.2 cannot be reached directly"},
		{routeReason(unix.ENETDOWN, &e, links), "interface eth0 is down"},
		{routeReason(unix.ENODEV, &e, links), "interface eth0 does not exist"},
		{routeReason(unix.EAFNOSUPPORT, &e, links), "kernel has no such routes"},
		{routeReason(unix.EINVAL, &e, links), "kernel refuses it: invalid argument"},
		{ruleReason(unix.EPERM, &back), "not permitted"},
		{ruleReason(unix.EEXIST, &back), "somebody else"},
		{ruleReason(unix.EINVAL, &back), "goto leads backwards"},
		{ruleReason(unix.EOPNOTSUPP, &back), "kernel has no policy rules"},
		{ruleReason(unix.EINVAL, &failover.KernelRule{}), "kernel refuses it: invalid argument"},
	} {
		if !strings.HasPrefix(row.got, row.want) {
			t.Errorf("%q, want %q", row.got, row.want)
		}
	}
}
