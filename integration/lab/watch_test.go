package lab_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"failoverd/integration/lab"
)

func TestWatch(t *testing.T) {
	l := lab.ForTest(t)
	p := newPair(t, l)
	var told []lab.Change
	w := must(p.a.Watch(func(c lab.Change) { told = append(told, c) }))(t)
	before := time.Now().Round(0)
	check(t, p.a.AddAddress("lo", "198.51.100.10/32"))
	check(t, p.a.AddAddress("lo", "198.51.100.10/32"))
	check(t, p.a.AddAddress("eth0", "fd00::99/64"))
	check(t, p.a.DeleteAddress("lo", "198.51.100.10/32"))
	check(t, p.a.AddRoute(prefix("192.0.2.0/24"), addr("10.0.0.2")))
	check(t, p.a.AddRoute(prefix("192.0.2.0/24"), addr("10.0.0.3")))
	check(t, p.a.DeleteRoute(prefix("192.0.2.0/24")))
	want := []string{
		"address added 198.51.100.10/32 dev lo",
		"address renewed 198.51.100.10/32 dev lo",
		"address removed 198.51.100.10/32 dev lo",
		"route added 192.0.2.0/24 via 10.0.0.2",
		"route added 192.0.2.0/24 via 10.0.0.3",
		"route removed 192.0.2.0/24 via 10.0.0.3",
	}
	var got []string
	check(t, lab.WaitFor(t.Context(), 5*time.Second, "the last change", func() bool {
		got = nil
		for _, s := range w.Sightings() {
			if !strings.Contains(s.What, ":") { // IPv6 addresses are reported from a work queue, some time later
				got = append(got, s.What)
			}
		}
		return slices.Contains(got, want[len(want)-1])
	}))
	if !slices.Equal(got, want) {
		t.Errorf("changes\n%q, want\n%q", got, want)
	}
	check(t, lab.WaitFor(t.Context(), 5*time.Second, "the IPv6 address", func() bool {
		_, ok := lab.First(w.Sightings(), before, "address added fd00::99/64 dev eth0")
		return ok
	}))
	last := before
	for _, s := range w.Sightings() {
		if s.At.Before(last) || s.At.Sub(before) > 5*time.Second || s.Node != "a" {
			t.Errorf("sighting %+v after %v", s, last)
		}
		last = s.At
	}
	check(t, w.Close())
	if len(told) != len(w.Changes()) || w.Missed() != 0 {
		t.Errorf("told of %d changes, want %d; missed %d", len(told), len(w.Changes()), w.Missed())
	}
}
