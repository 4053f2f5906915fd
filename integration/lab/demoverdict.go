package lab

import (
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// demoMargin is what is added to each theoretical bound: programming the address, the UPDATE, the upstream's table, and
// a machine that does other things too.
const demoMargin = 250 * time.Millisecond

// handover is the theory of an orderly move: the old router lets go while the new one programs the address and sends its
// UPDATE, for which the project allows itself 10 ms.
const handover = 10 * time.Millisecond

// verdict is one line of the demo's table.
type verdict struct {
	Event string
	// Outage is the longest one that the client saw; Least and Bound are what theory allows, Margin comes on top.
	Outage               Outage
	Least, Bound, Margin time.Duration
	// Theory says what Bound is made of.
	Theory string
	// Serving is who served afterwards, Expected who should.
	Serving, Expected string
}

// leastSlack is how much earlier than in theory an outage may end: the probe's grid and the time that a kill takes.
const leastSlack = 50 * time.Millisecond

// problem returns what is wrong, empty when nothing is.
func (v *verdict) problem() string {
	d := v.Outage.Duration()
	switch {
	case v.Serving != v.Expected:
		return fmt.Sprintf("%s serves instead of %s", v.Serving, v.Expected)
	case v.Outage.Open:
		return "the service did not come back"
	case d > v.Bound+v.Margin && d-v.Outage.Blind <= v.Bound+v.Margin:
		return fmt.Sprintf("cannot tell: the machine was too busy to probe for %s of it", seconds(v.Outage.Blind))
	case d > v.Bound+v.Margin:
		return fmt.Sprintf("%s too long", seconds(d-v.Bound-v.Margin))
	case d < v.Least-leastSlack:
		return fmt.Sprintf("%s too early: somebody took over while the old master could still be alive", seconds(v.Least-d))
	}
	return ""
}

// leaseCheck is about the address of a machine whose agent died: nobody may have to clean up.
type leaseCheck struct {
	gone  time.Duration // after the kill; 0: still there
	bound time.Duration
}

func (c *leaseCheck) problem() string {
	switch {
	case c.gone == 0:
		return "still there"
	case c.gone > c.bound:
		return seconds(c.gone-c.bound) + " too late"
	}
	return ""
}

// report is the end of the demo.
type report struct {
	verdicts []verdict
	lease    *leaseCheck
	crashes  bool // an agent does, so that lease must be there
	late     int
	took     time.Duration
	err      error // the story could not be told to its end
}

func (r *report) ok() bool {
	for i := range r.verdicts {
		if r.verdicts[i].problem() != "" {
			return false
		}
	}
	return r.err == nil && (!r.crashes || r.lease != nil && r.lease.problem() == "")
}

func word(problem string) string {
	if problem == "" {
		return "ok"
	}
	return "FAILED: " + problem
}

// seconds prints a duration in seconds with milliseconds.
func seconds(d time.Duration) string { return fmt.Sprintf("%.3f s", d.Seconds()) }

// text prints the table.
func (r *report) text(out io.Writer) error {
	if _, err := fmt.Fprintf(out, "\n%-44s %12s  %-20s %-7s %s\n", "event", "outage seen", "theoretical bound", "serving", "verdict"); err != nil {
		return err
	}
	for i := range r.verdicts {
		v := &r.verdicts[i]
		_, err := fmt.Fprintf(out, "%-44s %12s  %-20s %-7s %s\n", v.Event, seconds(v.Outage.Duration()), bound(v), v.Serving, word(v.problem()))
		if err != nil {
			return err
		}
	}
	return r.footer(out)
}

func bound(v *verdict) string {
	if v.Margin == 0 {
		return seconds(v.Bound)
	}
	return fmt.Sprintf("%s + %.2f s", seconds(v.Bound), v.Margin.Seconds())
}

func (r *report) footer(out io.Writer) error {
	if r.lease != nil {
		_, err := fmt.Fprintf(out, "\nthe address that the crashed agent left on m1 was gone after %s, by itself (bound %s): %s\n",
			seconds(r.lease.gone), seconds(r.lease.bound), word(r.lease.problem()))
		if err != nil {
			return err
		}
	}
	result := "every verdict holds"
	if !r.ok() {
		result = "NOT every verdict holds"
	}
	if r.err != nil {
		result = "broken off: " + r.err.Error()
	}
	_, err := fmt.Fprintf(out, "%s; one probe a millisecond, %d not sent in time; %.0f s in total\n\n", result, r.late, r.took.Seconds())
	for i := range r.verdicts {
		if err == nil && r.verdicts[i].Theory != "" {
			_, err = fmt.Fprintf(out, "bound of %q: %s\n", r.verdicts[i].Event, r.verdicts[i].Theory)
		}
	}
	return err
}

// jsonVerdict is a row of the result for programs; times in milliseconds.
type jsonVerdict struct {
	Event    string  `json:"event"`
	Outage   float64 `json:"outage_ms"`
	Lost     int     `json:"lost_probes"`
	Least    float64 `json:"least_ms"`
	Bound    float64 `json:"bound_ms"`
	Margin   float64 `json:"margin_ms"`
	Theory   string  `json:"theory,omitempty"`
	Serving  string  `json:"serving"`
	Expected string  `json:"expected"`
	OK       bool    `json:"ok"`
	Problem  string  `json:"problem,omitempty"`
}

// jsonReport is the last object that the demo prints for programs.
type jsonReport struct {
	Type        string        `json:"type"` // always "result"
	OK          bool          `json:"ok"`
	Verdicts    []jsonVerdict `json:"verdicts"`
	StaleMS     *float64      `json:"stale_address_ms,omitempty"`
	StaleBound  *float64      `json:"stale_address_bound_ms,omitempty"`
	LateProbes  int           `json:"late_probes"`
	TookSeconds float64       `json:"took_seconds"`
	Error       string        `json:"error,omitempty"`
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// json prints the result as one object.
func (r *report) json(out io.Writer) error {
	j := jsonReport{Type: "result", OK: r.ok(), Verdicts: []jsonVerdict{}, LateProbes: r.late, TookSeconds: r.took.Seconds()}
	for i := range r.verdicts {
		v := &r.verdicts[i]
		j.Verdicts = append(j.Verdicts, jsonVerdict{
			Event: v.Event, Outage: millis(v.Outage.Duration()), Lost: v.Outage.Lost, Least: millis(v.Least),
			Bound: millis(v.Bound), Margin: millis(v.Margin), Theory: v.Theory, Serving: v.Serving, Expected: v.Expected,
			OK: v.problem() == "", Problem: v.problem(),
		})
	}
	if r.lease != nil {
		gone, most := millis(r.lease.gone), millis(r.lease.bound)
		j.StaleMS, j.StaleBound = &gone, &most
	}
	if r.err != nil {
		j.Error = r.err.Error()
	}
	return json.NewEncoder(out).Encode(j)
}
