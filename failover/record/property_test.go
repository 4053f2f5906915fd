package record_test

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"failoverd/failover/failovertest"
	"failoverd/failover/record"
	"failoverd/failover/regiontest"
)

var seedsFlag = flag.Uint64("seeds", 100, "how many seeds of the simulation to record and replay")

// tape keeps recordings in memory. As a trace it has all cores of a simulation recorded.
type tape struct {
	io.Writer
	all []*bytes.Buffer
}

func newTape() *tape { return &tape{Writer: io.Discard} }

// Record implements failovertest.Recorder.
func (t *tape) Record() *record.Start {
	b := new(bytes.Buffer)
	t.all = append(t.all, b)
	return &record.Start{
		Header: record.Header{Program: "test", Host: "a", File: "/a.conf", Wall: 1_700_000_000_000_000_000},
		Random: testRandom(),
		Sink: func(e record.Entry) bool {
			line, err := e.Append(nil)
			if err != nil {
				panic(err)
			}
			b.Write(line)
			return true
		},
	}
}

func testRandom() record.Random {
	r := rand.NewChaCha8([32]byte{1})
	return func(b []byte) { _, _ = r.Read(b) }
}

// replay replays all recordings and complains about each that differs. It returns how much there was.
func (t *tape) replay(tb testing.TB, name string) (inputs, decisions int) {
	tb.Helper()
	for i, b := range t.all {
		r, err := record.NewReader(bytes.NewReader(b.Bytes()))
		if err != nil {
			tb.Errorf("%s: recording %d: %v", name, i, err)
			return
		}
		p, err := record.NewReplay(r, nil)
		if err != nil {
			tb.Errorf("%s: recording %d: %v", name, i, err)
			return
		}
		err = p.All(func() {
			if p.Difference != nil {
				err = errors.New("differs")
			}
		})
		if err != nil {
			tb.Errorf("%s: recording %d: %v", name, i, err)
		}
		if d := p.Difference; d != nil {
			tb.Errorf("%s: recording %d, line %d: %s\nrecorded:\n%s\nreplayed:\n%s", name, i, d.Line, d.What,
				strings.Join(d.Recorded.Lines(), "\n"), strings.Join(d.Replayed.Lines(), "\n"))
		}
		inputs, decisions = inputs+p.Inputs, decisions+p.Decisions
	}
	return inputs, decisions
}

// Every agent of every simulation decides the same when it is told the same again, from what is in its recording.
func TestSimulationsReplay(t *testing.T) {
	seeds := *seedsFlag
	if testing.Short() {
		seeds = min(seeds, 10)
	}
	kinds := []struct {
		name string
		run  func(seed uint64, trace io.Writer)
	}{
		{"LAN", func(seed uint64, trace io.Writer) { _ = failovertest.Simulate(seed, failovertest.Faithful, trace) }},
		{"sync groups", func(seed uint64, trace io.Writer) { _ = failovertest.SimulateGroups(seed, 0, trace) }},
		{"regions", func(seed uint64, trace io.Writer) {
			regiontest.Play(regiontest.Draw(seed), regiontest.Faithful, trace)
		}},
	}
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			var next, inputs, decisions, recordings atomic.Uint64
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() {
					for seed := next.Add(1); seed <= seeds && !t.Failed(); seed = next.Add(1) {
						tp := newTape()
						k.run(seed, tp)
						i, d := tp.replay(t, k.name)
						inputs.Add(uint64(i))
						decisions.Add(uint64(d))
						recordings.Add(uint64(len(tp.all)))
						if t.Failed() {
							t.Logf("seed %d", seed)
						}
					}
				})
			}
			wg.Wait()
			t.Logf("%d seeds, %d recordings, %d inputs, %d decisions", seeds, recordings.Load(), inputs.Load(), decisions.Load())
			if inputs.Load() < 100*seeds || decisions.Load() < 10*seeds {
				t.Errorf("too little has happened to prove anything")
			}
		})
	}
}

// So does every core of the scripts of package failover.
func TestScriptsReplay(t *testing.T) {
	files, err := filepath.Glob("../testdata/*.txt")
	if err != nil || len(files) < 30 {
		t.Fatal(len(files), err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		tp := newTape()
		if _, err := failovertest.ScriptTraced(string(text), tp); err != nil {
			t.Fatal(f, err)
		}
		tp.replay(t, f)
	}
}
