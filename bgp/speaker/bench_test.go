package speaker

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"
)

// BenchmarkSetToWire measures from Set to the neighbor having read the UPDATE, with the speaker in its own process:
// announcements and withdrawals in turn.
func BenchmarkSetToWire(b *testing.B) {
	p := newRawPeer(b, "127.0.0.2", nil)
	a := startAgent(b, speakerOf(rawNeighbor(p)))
	a.until(sessionUp, "a session", established)
	var announce, withdraw []time.Duration
	update := func(want string) time.Duration {
		time.Sleep(5 * time.Millisecond) // the agent's wishes come one by one, not in a burst
		n := len(p.all())
		start := time.Now()
		if strings.HasPrefix(want, "+") {
			a.set(route4())
		} else {
			a.set()
		}
		m, _ := p.wait(n, 5*time.Second, want, is(want))
		return m.at.Sub(start)
	}
	for b.Loop() {
		announce = append(announce, update("+198.51.100.0/24"))
		withdraw = append(withdraw, update("-198.51.100.0/24"))
	}
	for name, d := range map[string][]time.Duration{"announce": announce, "withdraw": withdraw} {
		slices.Sort(d)
		b.ReportMetric(float64(d[0].Microseconds()), name+"-min-us")
		b.ReportMetric(float64(d[len(d)/2].Microseconds()), name+"-median-us")
		b.ReportMetric(float64(d[len(d)*99/100].Microseconds()), name+"-p99-us")
		b.ReportMetric(float64(d[len(d)-1].Microseconds()), name+"-max-us")
	}
	b.ReportMetric(residentMB(b, a.s.PID()), "speaker-RSS-MB")
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.messages); n == 0 || p.messages[0].kind != packet.BGP_MSG_OPEN {
		b.Errorf("%d messages", n)
	}
}

// residentMB is the resident memory of a process.
func residentMB(tb testing.TB, pid int) float64 {
	tb.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var kb float64
		if n, _ := fmt.Sscanf(line, "VmRSS: %f kB", &kb); n == 1 {
			return kb / 1024
		}
	}
	tb.Fatal("no VmRSS")
	return 0
}
