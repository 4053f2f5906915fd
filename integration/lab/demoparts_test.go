package lab

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"failoverd/bgp"
)

func TestVerdict(t *testing.T) {
	const s = time.Second
	outage := func(d time.Duration) Outage {
		return Outage{From: time.Unix(100, 0), To: time.Unix(100, 0).Add(d), Lost: int(d / ProbeInterval)}
	}
	crash := verdict{Least: 2414 * time.Millisecond, Bound: 3414 * time.Millisecond, Margin: 250 * time.Millisecond, Serving: "m2", Expected: "m2"}
	with := func(o Outage, change func(*verdict)) verdict {
		v := crash
		v.Outage = o
		if change != nil {
			change(&v)
		}
		return v
	}
	for _, c := range []struct {
		name string
		v    verdict
		want string // part of the problem; empty: none
	}{
		{"within the bounds", with(outage(3*s), nil), ""},
		{"at the bound and the margin", with(outage(3664*time.Millisecond), nil), ""},
		{"a millisecond over", with(outage(3665*time.Millisecond), nil), "0.001 s too long"},
		{"over, but the client was blind", with(outage(3665*time.Millisecond), func(v *verdict) { v.Outage.Blind = 5 * time.Millisecond }), "cannot tell"},
		{"far too early", with(outage(time.Second), nil), "1.414 s too early"},
		{"no outage where there must be one", with(Outage{}, nil), "too early"},
		{"the wrong node serves", with(outage(3*s), func(v *verdict) { v.Serving = "hk" }), "hk serves instead of m2"},
		{"not over", with(outage(3*s), func(v *verdict) { v.Outage.Open = true }), "did not come back"},
		{"steady", verdict{Serving: "m1", Expected: "m1"}, ""},
		{"one lost probe in the steady state", verdict{Serving: "m1", Expected: "m1", Outage: outage(time.Millisecond)}, "too long"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := c.v.problem()
			if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
				t.Errorf("problem %q, want %q", got, c.want)
			}
		})
	}
}

func TestReportIsOnlyGoodWhenComplete(t *testing.T) {
	good := func() *report {
		return &report{
			crashes:  true,
			verdicts: []verdict{{Event: "steady state", Serving: "m1", Expected: "m1"}},
			lease:    &leaseCheck{gone: 3 * time.Second, bound: 4 * time.Second},
		}
	}
	for _, c := range []struct {
		name   string
		change func(*report)
		ok     bool
	}{
		{"all good", func(*report) {}, true},
		{"a bad verdict", func(r *report) { r.verdicts[0].Serving = "hk" }, false},
		{"broken off", func(r *report) { r.err = errors.New("no switch") }, false},
		{"the address stays", func(r *report) { r.lease.gone = 0 }, false},
		{"the address stays too long", func(r *report) { r.lease.gone = 5 * time.Second }, false},
		{"nobody looked at the address", func(r *report) { r.lease = nil }, false},
		{"no crash, no address to look at", func(r *report) { r.crashes, r.lease = false, nil }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := good()
			c.change(r)
			if r.ok() != c.ok {
				t.Errorf("ok %t, want %t", r.ok(), c.ok)
			}
			var text, machine bytes.Buffer
			if err := errors.Join(r.text(&text), r.json(&machine)); err != nil {
				t.Fatal(err)
			}
			var j jsonReport
			if err := json.Unmarshal(machine.Bytes(), &j); err != nil || j.OK != c.ok || j.Type != "result" {
				t.Errorf("JSON %s (%v), want ok %t", machine.Bytes(), err, c.ok)
			}
			if strings.Contains(text.String(), "every verdict holds;") != c.ok && !strings.Contains(text.String(), "NOT every") {
				t.Errorf("text, want ok %t:\n%s", c.ok, text.String())
			}
		})
	}
}

func TestTimelineIsInOrder(t *testing.T) {
	var out bytes.Buffer
	start := time.Unix(1000, 0)
	line := newTimeline(&out, false, start)
	line.add(start.Add(2*time.Second), "m2", "role", "second")
	line.add(start.Add(1400*time.Microsecond), "m1", "role", "first")
	line.add(start.Add(3*time.Second), "demo", "step", "third")
	if err := line.close(); err != nil {
		t.Fatal(err)
	}
	want := "    0.001  m1        first\n    2.000  m2        second\n    3.000  == third\n"
	if d := cmp.Diff(want, out.String()); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestTimelineReportsAFailedWrite(t *testing.T) {
	line := newTimeline(brokenWriter{}, true, time.Now())
	line.add(time.Now(), "m1", "role", "x")
	if err := line.close(); err == nil {
		t.Error("a failed write went unnoticed")
	}
}

func TestParseSessions(t *testing.T) {
	const log = `time=2026-01-02T03:04:05.822Z level=INFO msg=session peer=203.0.113.2 state=Established hold=3s err=""
time=2026-01-02T03:04:06.468Z level=INFO msg="route installed" prefix=198.51.100.0/24 via=203.0.113.2 err=<nil>
time=2026-01-02T03:04:07.440Z level=WARN msg="hold timer expired" state=BGP_FSM_ESTABLISHED peer=203.0.113.2
time=2026-01-02T03:04:07.441Z level=INFO msg=session peer=203.0.113.2 state=Idle hold=0s err="sent \"NOTIFICATION\" 4/0"
time=2026-01-02T03:04:08.000Z level=INFO msg=session peer=203.0.113.6 state=Nonsense hold=0s err=x
time=2026-01-02T03:04:08.000Z level=INFO msg=session peer=203.0.113.6 state=Active hold=0s err=refused
time=2026-01-02T03:04:09.000Z level=INFO msg=session peer=203.0.113.6 state=Established hold=3s err=""`
	a, b := netip.MustParseAddr("203.0.113.2"), netip.MustParseAddr("203.0.113.6")
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	want := []sessionChange{
		{at.Add(822 * time.Millisecond), a, bgp.Established, ""},
		{at.Add(2441 * time.Millisecond), a, bgp.Idle, `sent "NOTIFICATION" 4/0`},
		{at.Add(3 * time.Second), b, bgp.ActiveState, "refused"},
		// The last line has no end yet.
	}
	got := parseSessions(log)
	if d := cmp.Diff(want, got, cmp.AllowUnexported(sessionChange{}), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	if wasUp(got, a) || !wasUp(got[:1], a) || wasUp(got, b) || wasUp(nil, a) {
		t.Error("wasUp is wrong about the last state")
	}
}

func TestSameRole(t *testing.T) {
	at := time.Unix(100, 0)
	if !(toldRole{"MASTER", at}).same(toldRole{"MASTER", at.Add(3 * time.Microsecond)}) {
		t.Error("the noise of a clock makes another role")
	}
	if (toldRole{"MASTER", at}).same(toldRole{"BACKUP", at}) || (toldRole{"BACKUP", at}).same(toldRole{"BACKUP", at.Add(time.Second)}) {
		t.Error("a change goes unnoticed")
	}
}
