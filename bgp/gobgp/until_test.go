package gobgp_test

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/bgp"
	"failoverd/bgp/gobgp"
)

// in returns the CLOCK_MONOTONIC that long from now.
func in(t *testing.T, d time.Duration) int64 {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		t.Fatal(err)
	}
	return ts.Nano() + int64(d)
}

// changes returns the calls that change the table.
func (f *fake) changes() []string {
	return slices.DeleteFunc(f.all(), func(s string) bool { return s != "AddPath" && s != "DeletePath" })
}

// both are a route of each family.
func both() []bgp.Route {
	six := bgp.Route{Prefix: alsoAllow}
	six.NextHop = netip.MustParseAddr("2001:db8::1")
	return []bgp.Route{{Prefix: someAllow}, six}
}

const (
	mayLast = 400 * time.Millisecond
	late    = time.Second // the machine is shared
)

// A set of routes that nobody refreshes is withdrawn when its time is over, without another Set; a new one brings it
// back.
func TestRoutesEndWithTheirAuthority(t *testing.T) {
	t.Parallel()
	u := getUpstream(t)
	from := netip.MustParseAddr("127.0.0.39")
	c := run(t, speakerAt(u, from), "unix://"+serve(t), gobgp.Options{Resync: time.Hour})
	c.until("a session", established)
	began := time.Now()
	d := bgp.Desired{Generation: 1, Routes: []bgp.Route{{Prefix: serviceOf(from)}}, Until: in(t, mayLast)}
	c.Set(d)
	u.has(t, serviceOf(from), from, true)
	u.has(t, serviceOf(from), from, false)
	if took := time.Since(began); took < mayLast || took > mayLast+late {
		t.Errorf("withdrawn after %v, want %v", took, mayLast)
	}
	r := c.until("the reason", func(r bgp.Report) bool { return strings.Contains(r.Err, "authority") })
	if len(r.Announced) != 0 || !r.Established() || r.Generation != 1 {
		t.Errorf("report %+v", r)
	}
	d.Until = in(t, time.Minute)
	c.Set(d)
	u.has(t, serviceOf(from), from, true)
	c.until("no complaint", func(r bgp.Report) bool { return r.Err == "" && len(r.Announced) == 1 })
}

// To give routes more time costs the server no call, and they stay.
func TestRefreshCostsNoCall(t *testing.T) {
	t.Parallel()
	f := &fake{}
	c := run(t, fakeSpeaker(), serveFake(t, f), gobgp.Options{Resync: time.Hour})
	d := bgp.Desired{Generation: 3, Routes: []bgp.Route{{Prefix: someAllow}}, Until: in(t, time.Minute)}
	c.Set(d)
	c.until("the route", func(r bgp.Report) bool { return r.Generation == 3 && len(r.Announced) == 1 && r.Connected })
	c.until("the neighbors", func(bgp.Report) bool { return slices.Contains(f.all(), "AddPeer 192.0.2.11") })
	time.Sleep(mayLast / 4) // what the start of the session asks for
	before := f.requests.Load()
	for began := time.Now(); time.Since(began) < 5*mayLast; time.Sleep(mayLast / 8) {
		d.Until = in(t, 3*mayLast) // the first one is less time than before, which costs no call either
		c.Set(d)
	}
	if n := f.requests.Load() - before; n != 0 {
		t.Errorf("%d calls, want none; calls %q", n, f.all())
	}
	c.until("a withdrawal", func(r bgp.Report) bool { return len(r.Announced) == 0 })
	if got, want := f.changes(), []string{"AddPath", "DeletePath"}; !slices.Equal(got, want) {
		t.Errorf("changes %q, want %q", got, want)
	}
}

// The server takes longer over a path than it may be announced for: it is withdrawn at once, and no other one is added.
func TestAddedTooLateIsUndone(t *testing.T) {
	t.Parallel()
	f := &fake{refuse: func(call string) error {
		if call == "AddPath" {
			time.Sleep(2 * mayLast)
		}
		return nil
	}}
	c := run(t, fakeSpeaker(), serveFake(t, f), gobgp.Options{Resync: time.Hour})
	c.until("a connection", func(r bgp.Report) bool { return r.Connected })
	c.Set(bgp.Desired{Generation: 1, Routes: both(), Until: in(t, mayLast)})
	c.until("the reason", func(r bgp.Report) bool { return strings.Contains(r.Err, "authority") && len(r.Announced) == 0 })
	if got, want := f.changes(), []string{"AddPath", "DeletePath"}; !slices.Equal(got, want) {
		t.Errorf("changes %q, want %q", got, want)
	}
}

// What is too old when it comes is not announced; less time than before counts at once.
func TestAuthorityThatIsOverOrShorter(t *testing.T) {
	t.Parallel()
	f := &fake{}
	c := run(t, fakeSpeaker(), serveFake(t, f), gobgp.Options{Resync: time.Hour})
	c.until("a connection", func(r bgp.Report) bool { return r.Connected })
	d := bgp.Desired{Generation: 1, Routes: []bgp.Route{{Prefix: someAllow}}, Until: in(t, -time.Second)}
	c.Set(d)
	c.until("the reason", func(r bgp.Report) bool { return strings.Contains(r.Err, "authority") })
	if got := f.changes(); len(got) != 0 {
		t.Errorf("changes %q", got)
	}
	d.Until = 0
	c.Set(d)
	c.until("the route", func(r bgp.Report) bool { return r.Generation == 1 && len(r.Announced) == 1 })
	began := time.Now()
	d.Until = in(t, mayLast)
	c.Set(d)
	c.until("a withdrawal", func(r bgp.Report) bool { return len(r.Announced) == 0 })
	if took := time.Since(began); took > mayLast+late {
		t.Errorf("withdrawn after %v, want %v", took, mayLast)
	}
}

// The server does not answer when the time is over: what it announces is a debt, which whoever runs it may call in.
func TestLapseIsADebt(t *testing.T) {
	t.Parallel()
	f := &fake{}
	stuck := make(chan struct{})
	f.refuse = func(call string) error {
		if call == "DeletePath" {
			<-stuck
		}
		return nil
	}
	defer close(stuck)
	c := run(t, fakeSpeaker(), serveFake(t, f), gobgp.Options{Resync: time.Hour, Timeout: time.Second})
	c.Set(bgp.Desired{Generation: 1, Routes: both()})
	c.until("the routes", func(r bgp.Report) bool { return len(r.Announced) == 2 })
	c.Set(bgp.Desired{Generation: 2, Routes: []bgp.Route{{Prefix: someAllow}}, Until: in(t, mayLast)}) // Run waits for its answer
	time.Sleep(mayLast / 2)
	first := c.Debt()
	if first == 0 {
		t.Fatal("no debt for a withdrawal")
	}
	d := bgp.Desired{Generation: 3, Routes: both(), Until: in(t, mayLast)}
	c.Set(d)
	if c.Debt() != 0 {
		t.Error("a debt, and everything is wanted")
	}
	time.Sleep(mayLast + 10*time.Millisecond)
	if c.Debt() == 0 {
		t.Error("no debt after the authority")
	}
}

// The end of an authority does not wait for whoever keeps the client from its server, also when the client is waiting for that
// already: nobody else may be there to withdraw.
func TestRoutesEndBehindTheBar(t *testing.T) {
	t.Parallel()
	for name, resync := range map[string]time.Duration{"idle": time.Hour, "waiting": 20 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			endBehindTheBar(t, resync)
		})
	}
}

func endBehindTheBar(t *testing.T, resync time.Duration) {
	t.Helper()
	f := &fake{}
	var writes sync.RWMutex
	c := run(t, fakeSpeaker(), serveFake(t, f), gobgp.Options{Resync: resync, Bar: gobgp.ReadersBar(&writes)})
	c.Set(bgp.Desired{Generation: 1, Routes: []bgp.Route{{Prefix: someAllow}}, Until: in(t, 2*time.Second)})
	c.until("the route", func(r bgp.Report) bool { return r.Connected && r.Generation == 1 && len(r.Announced) == 1 })
	writes.Lock()
	defer writes.Unlock()
	c.until("its end", func(r bgp.Report) bool { return len(r.Announced) == 0 })
	if f.has(someAllow) {
		t.Error("it is in the table")
	}
}

// The same is true when whoever asks is dead: the lease ends behind the bar as well. What is wanted besides waits.
func TestLeaseEndsBehindTheBar(t *testing.T) {
	t.Parallel()
	f := &fake{}
	var (
		writes sync.RWMutex
		dead   atomic.Bool
	)
	c := run(t, fakeSpeaker(), serveFake(t, f), gobgp.Options{
		Resync: 20 * time.Millisecond, Bar: gobgp.ReadersBar(&writes), Alive: func() bool { return !dead.Load() }, Silent: "nobody is alive",
	})
	c.Set(bgp.Desired{Generation: 1, Routes: []bgp.Route{{Prefix: someAllow}}})
	c.until("the route", func(r bgp.Report) bool { return r.Connected && r.Generation == 1 && len(r.Announced) == 1 })
	writes.Lock()
	c.Set(bgp.Desired{Generation: 2, Routes: both()})
	time.Sleep(100 * time.Millisecond) // the assertion is that nothing comes
	if f.has(alsoAllow) {
		t.Error("a route was added behind the bar")
	}
	dead.Store(true)
	c.until("the end", func(r bgp.Report) bool { return len(r.Announced) == 0 && r.Err == "nobody is alive" })
	if f.has(someAllow) {
		t.Error("it is in the table")
	}
	dead.Store(false)
	time.Sleep(100 * time.Millisecond)
	if f.has(someAllow) {
		t.Error("a route was added behind the bar after the lease")
	}
	writes.Unlock()
	c.until("both", func(r bgp.Report) bool { return r.Generation == 2 && len(r.Announced) == 2 })
}
