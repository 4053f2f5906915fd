package health

import (
	"strings"
	"testing"
	"time"
)

// Probes and what they count as: a digit is a round trip in tenths of a second, - a failure, ? a node that cannot look.
func TestWindow(t *testing.T) {
	for _, tt := range []struct {
		name          string
		size, rtt     int // tenths of a second
		loss          int
		probes, want  string
		cause, reason string // of the last result
	}{
		{"no limits", 3, 0, 0, "9-9", "+-+", "", ""},
		{"an average above the limit", 3, 2, 0, "1119", "+++-", "slower than max_rtt 200ms", "366.7ms on average"},
		{"a single slow one in a long window does not matter", 10, 2, 0, "11111119", "++++++++", "", ""},
		{"back when the average is at four fifths", 2, 5, 0, "9954433", "----+++", "", ""},
		{"without hysteresis it would be back before", 2, 5, 0, "9955", "----", "slower than max_rtt 500ms", "500ms on average"},
		{"failures have no round trip", 3, 2, 0, "1--1", "+--+", "", ""},
		{"loss above the limit", 4, 0, 25, "1-1-1", "+-+--", "loss above max_loss 25%", "2 of the last 4 probes failed"},
		{"what was not probed yet is no loss", 4, 0, 25, "-1", "-+", "", ""},
		{"back when enough of the window succeeded", 5, 0, 20, "--1111111", "------+++", "", ""},
		{"one that cannot look counts for nothing", 4, 0, 25, "-??????1", "-??????+", "", ""},
	} {
		var w window
		w.set(tt.size, time.Duration(tt.rtt)*100*time.Millisecond, tt.loss)
		var got strings.Builder
		var last outcome
		for _, p := range tt.probes {
			o := outcome{ok: true, rtt: time.Duration(p-'0') * 100 * time.Millisecond}
			switch p {
			case '-':
				o = outcome{cause: "refused"}
			case '?':
				o = outcome{blind: true}
			}
			last = w.add(o)
			got.WriteByte("+-?"[last.result()])
		}
		if got.String() != tt.want || last.cause != tt.cause || last.said != tt.reason {
			t.Errorf("%s: %s gives %s (%s: %s), want %s (%s: %s)", tt.name, tt.probes, got.String(), last.cause, last.said, tt.want, tt.cause, tt.reason)
		}
	}
}

// A reload changes the size of a window, and keeps the newest probes in their order.
func TestWindowResize(t *testing.T) {
	var w window
	w.set(3, time.Second, 0)
	for i := range 5 {
		w.add(outcome{ok: true, rtt: time.Duration(i)})
	}
	w.set(4, time.Second, 0)
	w.add(outcome{ok: true, rtt: 5})
	w.add(outcome{ok: true, rtt: 6})
	w.set(2, time.Second, 0)
	if len(w.probes) != 2 || w.probes[0] != 5 || w.probes[1] != 6 || w.next != 0 {
		t.Errorf("%v, next %d", w.probes, w.next)
	}
}
