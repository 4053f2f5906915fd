package integration

import (
	"encoding/json"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"failoverd/integration/lab"
)

// takeoverEvent is what the labs read of a takeover in the event log.
type takeoverEvent struct {
	Kind   string  `json:"kind"`
	To     string  `json:"to"`
	TookMS float64 `json:"took_ms"`
	Phases []struct {
		Phase string    `json:"phase"`
		MS    float64   `json:"ms"`
		Time  time.Time `json:"time"`
	} `json:"phases"`
	Evidence *struct {
		HeardFrom string  `json:"heard_from"`
		Priority  int     `json:"heard_priority"`
		AgoMS     float64 `json:"heard_ms_ago"`
		DownMS    float64 `json:"active_down_interval_ms"`
	} `json:"evidence"`
}

// events returns what failoverd events prints of an agent.
func (a *agent) events() (list []takeoverEvent) {
	a.t.Helper()
	out, code := a.cli("events", "--json", "--last", "1000")
	if code != 0 {
		a.t.Fatalf("failoverd events: exit status %d: %s", code, out)
	}
	for line := range strings.Lines(out) {
		var e takeoverEvent
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			a.t.Fatalf("event %q: %v", line, err)
		}
		list = append(list, e)
	}
	return list
}

// lastTakeover waits for a takeover that is complete since a time, and returns it.
func (a *agent) lastTakeover(since time.Time, d time.Duration) (e takeoverEvent) {
	a.t.Helper()
	waitFor(a.t, d, "the takeover to be told", func() bool {
		for _, x := range a.events() {
			if x.Kind == "takeover" && x.To == "complete" && x.Phases[len(x.Phases)-1].Time.After(since) {
				e = x
				return true
			}
		}
		return false
	})
	return e
}

// cutAfterAdvert cuts a off the LAN right after an advertisement of it, and returns when that was sent.
func (n *lan) cutAfterAdvert() (sent time.Time) {
	n.t.Helper()
	seen := len(n.capture.Frames())
	for start := time.Now(); time.Since(start) < 3*time.Second; time.Sleep(100 * time.Microsecond) {
		fresh := n.capture.FramesSince(seen)
		seen += len(fresh)
		if len(fresh) == 0 {
			continue
		}
		if list := n.adverts("192.0.2.1", fresh[0].At); len(list) > 0 {
			must(n.t, n.pa.Cut())
			return list[len(list)-1].At
		}
	}
	n.t.Fatal("a advertises nothing")
	return sent
}

// TestPhasesAddUpToTheOutage: the stages of a takeover, which begin with the last advertisement heard, are the outage that
// a client sees when the MASTER's node dies right after it. How long after is measured, and taken into account: the outage
// begins with the first probe that is lost.
func TestPhasesAddUpToTheOutage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		bgp    bool
		target string
		last   string // stage
	}{
		{"address", false, "192.0.2.10", "address in"},
		{"route", true, "198.51.100.10", "acknowledged by gobgp"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n, a, b := phasesLab(t, tt.bgp)
			probe, err := n.c.Probe(netip.MustParseAddr(tt.target))
			must(t, err)
			_, who, err := probe.WaitForAnswer(time.Now(), 5*time.Second)
			must(t, err)
			if who != "a" {
				t.Fatalf("%s answers, want a", who)
			}
			advert := n.cutAfterAdvert()
			must(t, a.proc.Kill())
			_, _, err = probe.WaitForAnswer(time.Now(), 8*time.Second)
			must(t, err)
			e := b.lastTakeover(advert, 2*time.Second)
			comparePhases(t, e, probe.Longest(advert.Add(-10*time.Millisecond), time.Now()), advert)
			if got := e.Phases[len(e.Phases)-1].Phase; got != tt.last {
				t.Errorf("the last stage is %q, want %q", got, tt.last)
			}
			checkEvidence(t, b.events())
		})
	}
}

// phasesLab is a MASTER a and a BACKUP b of a service that c uses, over an upstream session or directly.
func phasesLab(t *testing.T, bgp bool) (n *lan, a, b *agent) {
	t.Helper()
	if !bgp {
		n = newLAN(t, false)
		a = startAgent(t, n.lab, n.a, n.instance(prioA, 3, "1"))
		b = startAgent(t, n.lab, n.b, n.instance(prioB, 3, "1"))
	} else {
		e := newEdge(t, "")
		n = e.lan
		conf := func(host string, priority int, med string) string {
			return e.speaker(host, "") + n.instance(priority, 3, "1", append(announce(service+" speaker EDGE med "+med),
				"virtual_ipaddress_excluded {", "    198.51.100.10/32 dev lo", "}")...)
		}
		// The upstream keeps the route of a node that is gone for the hold time of nine seconds: that of b is better.
		a = startAgent(t, n.lab, n.a, conf("a", prioA, "50"))
		b = startAgent(t, n.lab, n.b, conf("b", prioB, "10"))
		a.waitSession(15 * time.Second)
		b.waitSession(15 * time.Second)
		e.waitRoute("192.0.2.1", true, 15*time.Second)
	}
	a.waitState("MASTER", 15*time.Second)
	b.waitState("BACKUP", 5*time.Second)
	waitFor(t, 2*time.Second, "the address", func() bool { return holds(t, n.a, n.vip) })
	return n, a, b
}

// comparePhases checks that the stages add up to the outage, within 5 % and an interval of the probe.
func comparePhases(t *testing.T, e takeoverEvent, o lab.Outage, advert time.Time) {
	t.Helper()
	sum := 0.0
	for i, p := range e.Phases {
		sum += p.MS
		t.Logf("%-22s +%9.3f ms", p.Phase, p.MS)
		if i == 0 && (p.Phase != "last advert heard" || math.Abs(p.Time.Sub(advert).Seconds()) > slack.Seconds()) {
			t.Errorf("the first stage is %q at %v; the advertisement left at %v", p.Phase, p.Time, advert)
		}
	}
	if math.Abs(sum-e.TookMS) > 0.01 {
		t.Errorf("the stages add up to %.3f ms, took_ms is %.3f", sum, e.TookMS)
	}
	const ms = float64(time.Millisecond)
	offset, outage := float64(o.From.Sub(advert))/ms, float64(o.Duration())/ms
	t.Logf("cut %.3f ms after the advertisement; stages without that %.3f ms; outage %.3f ms (%v)", offset, sum-offset, outage, o)
	if offset < 0 || offset > float64(slack)/ms {
		t.Errorf("the outage begins %.3f ms after the last advertisement", offset)
	}
	allowed := 0.05*outage + float64(lab.ProbeInterval+o.Blind)/ms
	if diff := math.Abs(outage - (sum - offset)); diff > allowed {
		t.Errorf("they differ by %.3f ms, allowed are %.3f ms", diff, allowed)
	}
}

// checkEvidence looks for the transition that says whose silence it was.
func checkEvidence(t *testing.T, list []takeoverEvent) {
	t.Helper()
	for _, e := range list {
		v := e.Evidence
		if e.Kind != "transition" || e.To != "MASTER" || v == nil {
			continue
		}
		if v.HeardFrom != "192.0.2.1" || v.Priority != prioA || v.DownMS <= 3000 || v.AgoMS < v.DownMS {
			t.Errorf("evidence %+v, want priority %d of 192.0.2.1, and more silence than Active_Down_Interval", *v, prioA)
		}
		return
	}
	t.Errorf("no transition with evidence: %+v", list)
}
