package integration

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

var writeFaultMatrix = flag.Bool("write-fault-matrix", false, "write docs/fault-matrix.md with what TestFaultMatrix measures")

// faultRigs are the rigs, in the order in which they are to begin: the longest ones first.
var faultRigs = []struct {
	name string
	kind rigKind
}{
	{"frozen", edgeRig},
	{"upstream", edgeRig},
	{"network", plainRig},
	{"processes", plainRig},
	{"injected", injectRig},
	{"signed", signedRig},
	{"disk", diskRig},
	{"guarded", guardedRig},
	{"hostile", evilRig},
}

// repetitions is how often a row is made, and how often keepalived makes it.
func repetitions() (ours, theirs int) {
	if nightly() {
		return 20, 5
	}
	return 3, 1
}

// beyondCell is what a row of the document says of the repetitions that were beyond its bounds.
var beyondCell = regexp.MustCompile(`^(\|[^|]+){5}\| \d+ of \d+ \|`)

// TestFaultMatrixDocument: the document has the rows of the table, in its order, with their bounds.
func TestFaultMatrixDocument(t *testing.T) {
	text, err := os.ReadFile(faultDocument)
	must(t, err)
	var rows []string
	for l := range strings.Lines(string(text)) {
		if strings.HasPrefix(l, "| ") && !strings.HasPrefix(l, "| fault ") {
			rows = append(rows, strings.TrimSuffix(l, "\n"))
		}
	}
	if len(rows) != len(faultTable) {
		t.Fatalf("%s has %d rows, want %d; write it with -write-fault-matrix", faultDocument, len(rows), len(faultTable))
	}
	for i := range faultTable {
		if w := &faultTable[i]; w.back && !strings.Contains(string(text), "\n"+w.name+": a was back in time, ") {
			t.Errorf("%s does not say how often a was back in time after %q", faultDocument, w.name)
		}
		first, last := faultTable[i].fixed()
		if !strings.HasPrefix(rows[i], first) || !strings.HasSuffix(rows[i], last) || strings.Count(rows[i], "|") != 11 || !beyondCell.MatchString(rows[i]) {
			t.Errorf("%s, row %d:\n%s\nwant: %s ... %s", faultDocument, i+1, rows[i], first, last)
		}
	}
}

// TestFaultTable: every row has a rig and a bound, and no two have one name.
func TestFaultTable(t *testing.T) {
	seen := make(map[string]bool)
	for i := range faultTable {
		w := &faultTable[i]
		known := false
		for _, r := range faultRigs {
			known = known || r.name == w.rig
		}
		if !known || seen[w.name] || w.limit.outage == 0 || w.limit.owners == 0 || w.dead && w.limit.stale == 0 || w.why == "" || (w.limit == resumes) != w.back {
			t.Errorf("row %q is not complete", w.name)
		}
		seen[w.name] = true
	}
}

// TestTooOften: one repetition in ten may be beyond the limits of a row, and a single one in any case.
func TestTooOften(t *testing.T) {
	for _, c := range []struct {
		beyond, made int
		want         bool
	}{{0, 20, false}, {1, 3, false}, {1, 5, false}, {2, 3, true}, {2, 19, true}, {2, 20, false}, {3, 20, true}, {4, 40, false}, {5, 40, true}} {
		if y := (tally{beyond: c.beyond, made: c.made}); y.tooOften() != c.want {
			t.Errorf("%d of %d beyond: too often %v, want %v", c.beyond, c.made, !c.want, c.want)
		}
	}
}

// results are what all rigs have measured.
type results struct {
	mu           sync.Mutex
	ours, theirs map[string]*tally
}

// of returns the tally of a row. It belongs to the rig that makes the row, until all of them are done.
func (s *results) of(r *rig, w *faultRow) *tally {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.ours
	if r.kind == theirRig {
		m = s.theirs
	}
	if m[w.name] == nil {
		m[w.name] = &tally{}
	}
	return m[w.name]
}

// TestFaultMatrix makes the faults of the table and measures what they cost. The rigs work side by side.
func TestFaultMatrix(t *testing.T) {
	t.Parallel()
	notShort(t)
	need(t, "keepalived", "nft", "arping", "bird", "unshare")
	all := &results{ours: make(map[string]*tally), theirs: make(map[string]*tally)}
	begin := time.Now()
	t.Run("rigs", func(t *testing.T) {
		for _, r := range faultRigs {
			t.Run(r.name, func(t *testing.T) {
				t.Parallel()
				n, _ := repetitions()
				all.rows(t, r.kind, n, func(w *faultRow) bool { return w.rig == r.name })
			})
		}
		for _, part := range []string{"processes", "network"} {
			t.Run("keepalived, "+part, func(t *testing.T) {
				t.Parallel()
				_, n := repetitions()
				all.rows(t, theirRig, n, func(w *faultRow) bool { return w.theirs && (w.rig == "network") == (part == "network") })
			})
		}
	})
	n, k := repetitions()
	load, _ := os.ReadFile("/proc/loadavg")
	run := fmt.Sprintf("Measured with %d repetitions of each row, %d with keepalived, on a two-core virtual machine on which other labs ran; the load average at the end was %s.",
		n, k, strings.Fields(string(load) + " ?")[0])
	t.Logf("%v; %s", time.Since(begin).Round(time.Second), run)
	if len(all.ours) < len(faultTable) {
		return // -run has named some
	}
	text := faultMarkdown(run+returns(all.ours), all.ours, all.theirs)
	t.Log(text)
	if *writeFaultMatrix {
		must(t, os.MkdirAll("docs", 0o755))
		must(t, os.WriteFile(faultDocument, []byte(text), 0o644))
	}
}

// returns says in words how often a was back in time.
func returns(ours map[string]*tally) (text string) {
	for i := range faultTable {
		if w := &faultTable[i]; w.back {
			y := ours[w.name]
			text += fmt.Sprintf("\n%s: a was back in time, and went on with its role, in %d of %d times.", w.name, y.back, len(y.outage))
		}
	}
	return text
}

// rows makes rows in one rig, each n times. A row that leaves the rig unfit for others is the last.
func (s *results) rows(t *testing.T, kind rigKind, n int, wanted func(*faultRow) bool) {
	r, fit := newRig(t, kind), true
	for i := range faultTable {
		w := &faultTable[i]
		if !wanted(w) {
			continue
		}
		t.Run(w.name, func(t *testing.T) {
			if !fit {
				t.Fatal("not tried: the rig is not fit for it")
			}
			r.t, r.lan.t, fit = t, t, false
			y := s.of(r, w)
			back := w.back && r.kind != theirRig
			for y.made < n || back && y.tooRarely() && y.made < 2*n { // a busy machine may have been too slow for the first ones
				r.play(w, y)
			}
			if back {
				t.Logf("a was back in time in %d of %d times", y.back, len(y.outage))
				if y.tooRarely() {
					t.Errorf("a was back in time in %d of %d times, want half of them", y.back, len(y.outage))
				}
			}
			if nightly() && y.tooOften() {
				t.Errorf("%d of %d repetitions were beyond their limits, want at most one in ten", y.beyond, y.made)
			}
			fit = true
		})
	}
}

// play makes a repetition of a row. One that is beyond the limits is made once more, as the machine may have been too busy, and
// twice in a row is a failure. The times of both are in the table, and that there had to be two.
func (r *rig) play(w *faultRow, y *tally) {
	r.t.Helper()
	y.made++
	wrong := r.try(w, y)
	if wrong == "" {
		return
	}
	y.beyond++
	r.t.Logf("to be made once more: %s", wrong)
	if again := r.try(w, y); again != "" {
		r.t.Errorf("twice: %s, then %s", wrong, again)
	}
}

// try makes a row once, and says which limit it has not kept; empty: none.
func (r *rig) try(w *faultRow, y *tally) (wrong string) {
	r.t.Helper()
	f, at := r.suffer(w)
	y.add(f)
	r.t.Logf("outage %v, two owners %v, stale address %v, stale route %v", f.outage, f.owners, f.stale, f.route)
	if r.kind != theirRig {
		wrong = w.beyond(&f)
		if w.check != nil {
			w.check(r, at)
		}
		if w.back && r.resumed(at) {
			y.back++
		}
	}
	r.recover(w)
	return wrong
}

// suffer makes a fault, mends it, and returns what it came to, and when it was.
func (r *rig) suffer(w *faultRow) (f figures, at time.Time) {
	r.t.Helper()
	theirs := r.kind == theirRig
	if w.fresh {
		r.restart()
		r.settle(15 * time.Second)
	}
	if w.before != nil && !theirs {
		w.before(r)
	}
	do := w.do
	if theirs && w.instead != nil {
		do = w.instead
	}
	at = time.Now()
	do(r)
	var revived time.Time
	look := func(until time.Time) {
		for time.Now().Before(until) {
			if w.dead && revived.IsZero() && r.another() {
				revived = time.Now()
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	look(at.Add(w.lasts))
	if w.mend != nil {
		if w.dead && revived.IsZero() {
			revived = time.Now()
		}
		w.mend(r)
	}
	look(time.Now().Add(w.observe))
	return r.measure(at, w.dead, revived), at
}

// recover makes the rig as it was before the fault.
func (r *rig) recover(w *faultRow) {
	r.t.Helper()
	if w.restart || r.kind == theirRig && !r.a.Running() {
		r.restart()
	}
	r.settle(40 * time.Second) // after a dozen short sessions in a row the next one comes later and later, and a waits 30 s for it
}

// beyond says which limit was not kept; empty: none.
func (w *faultRow) beyond(f *figures) string {
	l := &w.limit
	switch {
	case f.open || f.outage > l.outage:
		return fmt.Sprintf("an outage of %v, want at most %v", f.outage, l.outage)
	case f.owners > l.owners:
		return fmt.Sprintf("two owners for %v, want at most %v", f.owners, l.owners)
	case w.dead && (f.kept || f.stale > l.stale):
		return fmt.Sprintf("a stale address for %v, want at most %v", f.stale, l.stale)
	case l.route > 0 && f.route > l.route:
		return fmt.Sprintf("a stale route for %v, want at most %v", f.route, l.route)
	}
	return ""
}
