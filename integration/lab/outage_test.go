package lab

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// ms is a point in time for the tables below.
func ms(n float64) int64 { return 1_000_000_000 + int64(math.Round(n*1e6)) }

// probes is a run of probes, one a millisecond from start on, each answered after 0.1 ms by node, or never for -1.
func probes(start float64, n, node int) (out []sample) {
	for i := range n {
		s := sample{sent: ms(start + float64(i))}
		if node >= 0 {
			s.received, s.from = s.sent+100_000, node
		}
		out = append(out, s)
	}
	return out
}

func join(runs ...[]sample) (out []sample) {
	for _, r := range runs {
		out = append(out, r...)
	}
	return out
}

func TestOutages(t *testing.T) {
	names := []string{"m1", "m2"}
	const m1, m2, lost = 0, 1, -1
	between := func(from, to float64, n int, before, after string) Outage {
		return Outage{From: time.Unix(0, ms(from)), To: time.Unix(0, ms(to)), Lost: n, Before: before, After: after}
	}
	for _, c := range []struct {
		name     string
		samples  []sample
		now      float64
		from, to float64
		want     []Outage
	}{
		{"no probe at all", nil, 0, 0, 100, nil},
		{"every probe answered", probes(0, 100, m1), 100, 0, 100, nil},
		{"another node takes over", join(probes(0, 10, m1), probes(10, 30, lost), probes(40, 10, m2)), 50, 0, 100, []Outage{between(10, 40.1, 30, "m1", "m2")}},
		{"one lost probe is an outage", join(probes(0, 10, m1), probes(10, 1, lost), probes(11, 5, m1)), 50, 0, 100, []Outage{between(10, 11.1, 1, "m1", "m1")}},
		{
			"two outages", join(probes(0, 2, m1), probes(2, 2, lost), probes(4, 2, m2), probes(6, 3, lost), probes(9, 1, m1)), 10, 0, 100,
			[]Outage{between(2, 4.1, 2, "m1", "m2"), between(6, 9.1, 3, "m2", "m1")},
		},
		{"an outage before the time asked for", join(probes(0, 2, m1), probes(2, 2, lost), probes(4, 2, m2)), 10, 5, 100, nil},
		{"an outage after the time asked for", join(probes(0, 2, m1), probes(2, 2, lost), probes(4, 2, m2)), 10, 0, 1, nil},
		{"an outage that began before the time asked for", join(probes(0, 2, m1), probes(2, 2, lost), probes(4, 2, m2)), 10, 3, 100, []Outage{between(2, 4.1, 2, "m1", "m2")}},
		{"probes under way are not lost", join(probes(0, 10, m1), probes(10, 5, lost)), 16, 0, 100, nil},
		{
			"no answer for long", join(probes(0, 10, m1), probes(10, 300, lost)), 310, 0, 1000,
			[]Outage{{From: time.Unix(0, ms(10)), To: time.Unix(0, ms(309)), Lost: 300, Open: true, Before: "m1"}},
		},
		{"no answer ever", probes(0, 300, lost), 310, 0, 1000, []Outage{{From: time.Unix(0, ms(0)), To: time.Unix(0, ms(299)), Lost: 300, Open: true}}},
		{"a late sender is no outage", join(probes(0, 10, m1), probes(50, 10, m1)), 60, 0, 100, nil},
		{"an outage ends while the sender is late", join(probes(0, 10, m1), probes(10, 5, lost), probes(44, 5, m2)), 60, 0, 100, []Outage{{
			From: time.Unix(0, ms(10)), To: time.Unix(0, ms(44.1)), Lost: 5, Before: "m1", After: "m2", Blind: 29 * time.Millisecond,
		}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := outages(c.samples, names, ms(c.now), ms(c.from), ms(c.to))
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
		})
	}
}

func TestAnswersOutOfOrder(t *testing.T) {
	p := &Probe{samples: probes(0, 4, -1), number: map[string]int{}}
	p.answered(2, time.Unix(0, ms(2.5)), "m2")
	p.answered(1, time.Unix(0, ms(2.6)), "m1")
	p.answered(2, time.Unix(0, ms(9)), "m1") // a duplicate changes nothing
	p.answered(99, time.Unix(0, ms(9)), "m1")
	if at, name, ok := p.FirstAnswer(time.Unix(0, ms(0.5)), ""); !ok || name != "m1" || at != time.Unix(0, ms(2.6)) {
		t.Errorf("first answer %v by %q, %t", at, name, ok)
	}
	if at, name, ok := p.FirstAnswer(time.Unix(0, ms(0)), "m2"); !ok || name != "m2" || at != time.Unix(0, ms(2.5)) {
		t.Errorf("first answer of m2 %v by %q, %t", at, name, ok)
	}
	if _, _, ok := p.FirstAnswer(time.Unix(0, ms(2.5)), ""); ok {
		t.Error("an answer to a probe that has none")
	}
	if d := cmp.Diff(map[string]int{"m1": 1, "m2": 1}, p.Answers(time.Unix(0, ms(0)), time.Unix(0, ms(4)))); d != "" {
		t.Errorf("answers -want +got\n%s", d)
	}
}
