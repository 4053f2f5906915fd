package lab

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// demoEvent is one line of the demo's timeline.
type demoEvent struct {
	Type string    `json:"type"` // always "event"
	AtMS float64   `json:"at_ms"`
	Time time.Time `json:"time"`
	// Where it was seen: demo, client, upstream or the name of a machine.
	Where string `json:"where"`
	// Kind is step, role, address, bgp, route, probe or advert.
	Kind string `json:"kind"`
	Text string `json:"text"`
}

// timeline prints events in the order in which they happened. Witnesses learn of them with different delays, so an
// event is held for a moment before it is printed.
type timeline struct {
	out     io.Writer
	json    bool
	start   time.Time
	quit    chan struct{}
	stopped sync.WaitGroup

	mu      sync.Mutex
	waiting []demoEvent
	err     error // of the first failed write
}

// settleTime is how long an event is held.
const settleTime = 300 * time.Millisecond

func newTimeline(out io.Writer, asJSON bool, start time.Time) *timeline {
	t := &timeline{out: out, json: asJSON, start: start.Round(0), quit: make(chan struct{})}
	t.stopped.Add(1)
	go t.run()
	return t
}

// add puts an event down. Any goroutine may call it.
func (t *timeline) add(at time.Time, where, kind, format string, args ...any) {
	at = at.Round(0)
	e := demoEvent{
		Type: "event", Time: at, AtMS: float64(at.Sub(t.start).Microseconds()) / 1000, Where: where, Kind: kind,
		Text: fmt.Sprintf(format, args...),
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting = append(t.waiting, e)
}

func (t *timeline) run() {
	defer t.stopped.Done()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			t.flush(now.Add(-settleTime))
		case <-t.quit:
			return
		}
	}
}

// flush prints what happened before a time.
func (t *timeline) flush(until time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	slices.SortStableFunc(t.waiting, func(a, b demoEvent) int { return a.Time.Compare(b.Time) })
	n := 0
	for n < len(t.waiting) && t.waiting[n].Time.Before(until) {
		t.print(t.waiting[n])
		n++
	}
	t.waiting = slices.Delete(t.waiting, 0, n)
}

func (t *timeline) print(e demoEvent) {
	var err error
	switch {
	case t.json:
		err = json.NewEncoder(t.out).Encode(e)
	case e.Kind == "step":
		_, err = fmt.Fprintf(t.out, "%9.3f  == %s\n", e.AtMS/1000, e.Text)
	default:
		_, err = fmt.Fprintf(t.out, "%9.3f  %-9s %s\n", e.AtMS/1000, e.Where, e.Text)
	}
	if t.err == nil {
		t.err = err
	}
}

// close prints what is left and returns the first error of a write.
func (t *timeline) close() error {
	close(t.quit)
	t.stopped.Wait()
	t.flush(time.Now().Add(time.Hour))
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}
