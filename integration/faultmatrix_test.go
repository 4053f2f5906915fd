package integration

import (
	"bufio"
	"flag"
	"fmt"
	"os"
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

// TestFaultMatrixDocument: the document has the rows of the table, in its order, with their bounds.
func TestFaultMatrixDocument(t *testing.T) {
	f, err := os.Open(faultDocument)
	must(t, err)
	defer f.Close()
	var rows []string
	for in := bufio.NewScanner(f); in.Scan(); {
		if l := in.Text(); strings.HasPrefix(l, "| ") && !strings.HasPrefix(l, "| fault ") {
			rows = append(rows, l)
		}
	}
	if len(rows) != len(faultTable) {
		t.Fatalf("%s has %d rows, want %d; write it with -write-fault-matrix", faultDocument, len(rows), len(faultTable))
	}
	for i := range faultTable {
		first, last := faultTable[i].fixed()
		if !strings.HasPrefix(rows[i], first) || !strings.HasSuffix(rows[i], last) || strings.Count(rows[i], "|") != 10 {
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
		if !known || seen[w.name] || w.limit.outage == 0 || w.limit.owners == 0 || w.dead && w.limit.stale == 0 || w.why == "" {
			t.Errorf("row %q is not complete", w.name)
		}
		seen[w.name] = true
	}
}

// results are what all rigs have measured.
type results struct {
	mu           sync.Mutex
	ours, theirs map[string]*tally
}

func (s *results) add(r *rig, w *faultRow, f figures) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.ours
	if r.kind == theirRig {
		m = s.theirs
	}
	if m[w.name] == nil {
		m[w.name] = &tally{}
	}
	m[w.name].add(f)
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
	text := faultMarkdown(run, all.ours, all.theirs)
	t.Log(text)
	if *writeFaultMatrix {
		must(t, os.MkdirAll("docs", 0o755))
		must(t, os.WriteFile(faultDocument, []byte(text), 0o644))
	}
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
			for range n {
				s.play(r, w)
			}
			fit = true
		})
	}
}

// play makes a row once. What is beyond its limits is made once more: the machine may have been too busy. Both count in the table.
func (s *results) play(r *rig, w *faultRow) {
	r.t.Helper()
	for last := false; ; last = true {
		f, at := r.suffer(w)
		s.add(r, w, f)
		wrong := ""
		if r.kind != theirRig {
			wrong = w.beyond(&f)
			if w.check != nil {
				w.check(r, at)
			}
		}
		r.t.Logf("outage %v, two owners %v, stale address %v, stale route %v", f.outage, f.owners, f.stale, f.route)
		r.recover(w)
		switch {
		case wrong == "":
			return
		case last:
			r.t.Errorf("twice: %s", wrong)
			return
		}
		r.t.Logf("to be made once more: %s", wrong)
	}
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
