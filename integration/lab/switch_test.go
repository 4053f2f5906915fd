package lab_test

import (
	"net/netip"
	"testing"
	"time"

	"failoverd/integration/lab"
)

func TestProbeMeasuresACut(t *testing.T) {
	for _, target := range []string{"10.0.0.2", "fd00::2"} {
		t.Run(target, func(t *testing.T) {
			l := lab.ForTest(t)
			p := newPair(t, l)
			must(p.b.Respond())(t)
			probe := must(p.a.Probe(netip.MustParseAddr(target)))(t)
			_, who, err := probe.WaitForAnswer(time.Now(), 10*time.Second)
			check(t, err)
			if who != "b" {
				t.Fatalf("%s answers, want b", who)
			}
			start := time.Now()
			time.Sleep(100 * time.Millisecond)
			if h := probe.Health(answerGrace); !h.Answering || h.Node != "b" {
				t.Errorf("before the cut: %+v", h)
			}
			late := probe.Late()
			c0 := time.Now()
			check(t, p.portB.Cut())
			c1 := time.Now()
			time.Sleep(200 * time.Millisecond)
			if h := probe.Health(answerGrace); h.Answering || h.Since.Before(c0.Add(-50*time.Millisecond)) {
				t.Errorf("during the cut: %+v", h)
			}
			m0 := time.Now()
			check(t, p.portB.Mend())
			m1 := time.Now()
			_, _, err = probe.WaitForAnswer(m1.Add(100*time.Millisecond), 10*time.Second)
			check(t, err)
			check(t, probe.Close())

			// A machine that stood still at either end of the cut has not sent what would have been lost.
			unsent := time.Duration(probe.Late()-late) * lab.ProbeInterval
			o := probe.Longest(start, time.Now())
			t.Logf("outage %v, cut between %v and %v, not probed for %v", o, m0.Sub(c1), m1.Sub(c0), unsent)
			// Never shorter than the cut but for the probe's grid, never longer but for the machine's load.
			if least, most := m0.Sub(c1)-2*time.Millisecond-unsent, m1.Sub(c0)+60*time.Millisecond; o.Duration() < least || o.Duration() > most {
				t.Errorf("outage %v, want between %v and %v", o, least, most)
			}
			if o.Before != "b" || o.After != "b" || o.Open {
				t.Errorf("outage %+v", o)
			}
			if first := probe.Outages(start, c0.Add(-20*time.Millisecond)); len(first) != 0 {
				t.Errorf("probes lost before the cut: %v", first)
			}
		})
	}
}

const answerGrace = 60 * time.Millisecond

func TestCutKeepsTheCarrier(t *testing.T) {
	l := lab.ForTest(t)
	p := newPair(t, l)
	w := must(p.b.Watch(nil))(t)
	check(t, lab.Cut(p.portA, p.portB))
	check(t, lab.Mend(p.portA, p.portB))
	check(t, p.portB.Unplug())
	check(t, lab.WaitFor(t.Context(), 5*time.Second, "the carrier's loss", func() bool { return len(w.Changes()) >= 1 }))
	check(t, p.portB.Replug())
	check(t, lab.WaitFor(t.Context(), 5*time.Second, "the carrier's return", func() bool { return len(linkChanges(w)) >= 2 }))
	if got := linkChanges(w); got[0] != lab.LinkDown || got[1] != lab.LinkUp || len(got) != 2 {
		t.Errorf("link changes %v, want exactly those of the unplugging", got)
	}
}

func linkChanges(w *lab.Watch) (out []lab.ChangeKind) {
	for _, c := range w.Changes() {
		if c.Kind == lab.LinkDown || c.Kind == lab.LinkUp {
			out = append(out, c.Kind)
		}
	}
	return out
}
