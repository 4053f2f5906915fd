package integration

import (
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"failoverd/failover"
)

var writeCutMatrix = flag.Bool("write-cut-matrix", false, "write docs/cut-matrix.md from the table")

// nightly reports whether this run may take its time.
func nightly() bool { return os.Getenv("FAILOVERD_NIGHTLY") == "1" }

// TestCutMatrixDocument: the documentation is the table that the lab proves.
func TestCutMatrixDocument(t *testing.T) {
	path := filepath.Join("docs", "cut-matrix.md")
	want := cutMarkdown(cutTable)
	if *writeCutMatrix {
		must(t, os.MkdirAll("docs", 0o755))
		must(t, os.WriteFile(path, []byte(want), 0o644))
	}
	got, err := os.ReadFile(path)
	must(t, err)
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Errorf("%s is not what the table says; write it with -write-cut-matrix (-want +got):\n%s", path, d)
	}
}

// TestCutTableIsComplete: every single cut and every pair that makes sense is there, once.
func TestCutTableIsComplete(t *testing.T) {
	all := []*cut{cutLAN, cutUplinkM, cutBetween, cutToHK, cutFromHK, cutUplinkK, cutWitnessM, cutWitnessK, cutNode, cutSite}
	contained := map[[2]*cut]bool{{cutBetween, cutToHK}: true, {cutBetween, cutFromHK}: true, {cutNode, cutSite}: true}
	seen := map[[2]*cut]int{}
	for i := range cutTable {
		c := cutTable[i].cuts
		seen[[2]*cut{c[0], c[len(c)-1]}]++
	}
	for i, a := range all {
		for _, b := range all[i:] {
			want := 1
			if contained[[2]*cut{a, b}] {
				want = 0
			}
			if got := seen[[2]*cut{a, b}]; got != want {
				t.Errorf("%s + %s: %d rows, want %d", a.name, b.name, got, want)
			}
		}
	}
}

// matrixCase is one experiment.
type matrixCase struct {
	name string
	cuts []*cut
	want expectation
}

// matrixCases returns what to try, by whether there is a witness.
func matrixCases() map[bool][]matrixCase {
	out := map[bool][]matrixCase{}
	for i := range cutTable {
		r := &cutTable[i]
		for witness, e := range map[bool]expectation{true: r.with, false: r.without} {
			if e.masters != "" && (r.ci || nightly()) {
				out[witness] = append(out[witness], matrixCase{r.name(), r.cuts, e})
			}
		}
	}
	return out
}

// TestCutMatrix makes the cuts of the table and looks who serves, who announces, and for how long nobody or both did. Some
// regions work on it side by side; -parallel knows of none of them, so no other test of this process does.
func TestCutMatrix(t *testing.T) {
	notShort(t)
	cases := matrixCases()
	var workers sync.WaitGroup
	for witness, regions := range map[bool]int{true: 2, false: 1} {
		queue := make(chan matrixCase, len(cases[witness]))
		for _, c := range cases[witness] {
			queue <- c
		}
		close(queue)
		for range regions {
			r := newRegion(t, quickRegion(witness))
			workers.Add(1)
			go func() {
				defer workers.Done()
				r.work(t, queue)
			}()
		}
		defer func() {
			for c := range queue {
				t.Errorf("not tried, because no region was fit for it: %s, witness %t", c.name, witness)
			}
		}()
	}
	workers.Wait()
}

// work tries cases one after the other. It ends at the first that leaves the region unfit for another one. The region starts
// with the first case that is run, in it: a start of its own would be left out when -run names a case.
func (r *region) work(t *testing.T, queue <-chan matrixCase) {
	mode := "with a witness"
	if !r.config.witness {
		mode = "without a witness"
	}
	for fit, started := true, false; fit; {
		c, more := <-queue
		if !more {
			break
		}
		t.Run(mode+": "+c.name, func(t *testing.T) {
			r.t = t
			fit = false
			if !started {
				r.start()
				started = true
			}
			for tries := 1; ; tries++ {
				conclusive := r.try(c, tries == mostTries)
				r.mend(c.cuts...)
				mended := time.Now()
				r.waitServes(r.m1, 40*time.Second)
				t.Logf("m1 serves in peace again %.1f s after it was mended", time.Since(mended).Seconds())
				if conclusive {
					break
				}
			}
			fit = true
		})
	}
	for _, err := range r.internet.problems() {
		t.Errorf("%s: %v", mode, err)
	}
}

// observation is how long a case looks on: long enough for every takeover, and for the absence of one to mean something.
func (c *regionConfig) observation() time.Duration { return c.takeover() + 4*time.Second }

// mostTries is how often a case is tried on a machine that is too busy for it.
const mostTries = 3

// stoodStill reports whether Hong Kong says that it was not running while it looked at the mainland, now or in its log more
// often than before. Such a look does not count, and the observation begins anew: rightly so, but it says nothing about the cut.
func (r *region) stoodStill(before int) bool {
	if r.stops() > before {
		return true
	}
	s := r.hk.state()
	return s.snapshot != nil && slices.ContainsFunc(s.snapshot.Watches, func(w failover.WatchStatus) bool {
		return slices.ContainsFunc(w.Votes, func(v failover.Vote) bool { return strings.Contains(v.Reason, "stood still") })
	})
}

// stops is how often Hong Kong has said so.
func (r *region) stops() int { return strings.Count(r.hk.agent.proc.Log(), "stood still") }

// try makes the cuts of a case and judges what comes of it, unless the machine was too busy and this is not the last try.
// The cut falls at any phase of the heartbeats.
func (r *region) try(c matrixCase, last bool) (conclusive bool) {
	r.t.Helper()
	time.Sleep(rand.N(r.config.heartbeat))
	at, stops := time.Now(), r.stops()
	r.make(c.cuts...)
	time.Sleep(time.Until(at.Add(r.config.observation())))
	to := time.Now()
	if !last && r.stoodStill(stops) {
		r.t.Logf("to be tried again: MASTER %s, and this machine was too busy to look:\n%s", r.masters(), r.describe())
		return false
	}
	if got := r.masters(); got != c.want.masters {
		r.t.Errorf("MASTER: %s, want %s", got, c.want.masters)
	}
	if got := r.announcers(); got != c.want.announces {
		r.t.Errorf("announces: %s, want %s", got, c.want.announces)
	}
	nobody := r.judgeOutage(at, to, c.want.ending)
	addresses, routes := r.bothAddresses(at, to), r.bothRoutes(at, to)
	// Both ends of a dead uplink find out by themselves, up to P_w apart: the mainland lets go, and its upstream keeps a
	// route into nothing for that long.
	if addresses > 0 || routes > 0 && c.want.ending != released && c.want.ending != orphaned || routes > failover.WithdrawTime+slack {
		r.t.Errorf("both regions held the address for %v, both upstreams the route for %v", addresses, routes)
	}
	r.t.Logf("MASTER %s, announced by %s; nobody for %.3f s, both regions for %.3f s (address) and %.3f s (route)",
		r.masters(), r.announcers(), nobody.Seconds(), addresses.Seconds(), routes.Seconds())
	if r.t.Failed() {
		r.t.Log(r.describe())
	}
	return true
}

// judgeOutage compares what the client saw with what the table and the printed bounds say.
func (r *region) judgeOutage(from, to time.Time, e ending) time.Duration {
	r.t.Helper()
	o := r.probe.Longest(from, to)
	least, most := r.bounds(e)
	d := o.Duration()
	switch {
	case e == ends && !o.Open:
		r.t.Errorf("outage %v, want one that does not end", o)
	case e != ends && o.Open:
		r.t.Errorf("outage %v: the service did not come back", o)
	case e != ends && d-o.Blind > most:
		r.t.Errorf("outage %v, want at most %v", o, most)
	case d < least:
		r.t.Errorf("outage %v, want at least %v: somebody took over too early", o, least)
	}
	r.checkEnding(e, d-o.Blind)
	return d
}
