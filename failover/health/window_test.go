package health

import (
	"strings"
	"testing"
	"time"

	"failoverd/failover"
)

// windowRow is a row of TestWindow.
type windowRow struct {
	name           string
	size, rtt      int // tenths of a second
	loss           int
	probes, want   string
	cause, reason  string // of the last result
	back, lossBack int    // recover_rtt in tenths of a second, recover_loss
}

func (windowRow) tenths(n int) time.Duration { return time.Duration(n) * 100 * time.Millisecond }

// Probes and what they count as: a digit is a round trip in tenths of a second, - a failure, ? a node that cannot look.
func TestWindow(t *testing.T) {
	for _, tt := range []windowRow{
		{"no limits", 3, 0, 0, "9-9", "+-+", "", "", 0, 0},
		{"an average above the limit", 3, 2, 0, "1119", "+++-", "slower than max_rtt 200ms", "366.7ms on average", 0, 0},
		{"a single slow one in a long window does not matter", 10, 2, 0, "11111119", "++++++++", "", "", 0, 0},
		{"back when the average is at four fifths", 2, 5, 0, "9954433", "----+++", "", "", 0, 0},
		{"without hysteresis it would be back before", 2, 5, 0, "9955", "----", "slower than max_rtt 500ms", "500ms on average", 0, 0},
		{"failures have no round trip", 3, 2, 0, "1--1", "+--+", "", "", 0, 0},
		{"loss above the limit", 4, 0, 25, "1-1-1", "+-+--", "loss above max_loss 25%", "2 of the last 4 probes failed", 0, 0},
		{"what was not probed yet is no loss", 4, 0, 25, "-1", "-+", "", "", 0, 0},
		{"back when enough of the window succeeded", 5, 0, 20, "--1111111", "------+++", "", "", 0, 0},
		{"one that cannot look counts for nothing", 4, 0, 25, "-??????1", "-??????+", "", "", 0, 0},
		{"a recover_rtt of its own", 1, 5, 0, "96432", "----+", "", "", 2, 0},
		{"a recover_loss of its own", 10, 0, 30, "----1111111111", "-------------+", "", "", 0, failover.NoLoss},
		{"and of some percent", 10, 0, 30, "----11111111", "-----------+", "", "", 0, 20},
	} {
		var w window
		w.set(limitsOf(&failover.CheckConfig{
			Window: tt.size, MaxRTT: tt.tenths(tt.rtt), RecoverRTT: tt.tenths(tt.back), MaxLoss: tt.loss, RecoverLoss: tt.lossBack,
		}))
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
	w.set(limits{size: 3, maxRTT: time.Second})
	for i := range 5 {
		w.add(outcome{ok: true, rtt: time.Duration(i)})
	}
	w.set(limits{size: 4, maxRTT: time.Second})
	w.add(outcome{ok: true, rtt: 5})
	w.add(outcome{ok: true, rtt: 6})
	w.set(limits{size: 2, maxRTT: time.Second})
	if len(w.probes) != 2 || w.probes[0] != 5 || w.probes[1] != 6 || w.next != 0 {
		t.Errorf("%v, next %d", w.probes, w.next)
	}
}
