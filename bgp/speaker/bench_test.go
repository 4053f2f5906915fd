package speaker

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	api "github.com/osrg/gobgp/v3/api"
	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// BenchmarkSetToWire measures from Set to the neighbor having read the UPDATE, with the speaker in its own process:
// announcements and withdrawals in turn. Beside it stands a call that does nothing, twice through all the processes have between
// them, and what a change costs in processor time, with the reading back and the report.
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
	own, theirs := processorTime(b, os.Getpid()), processorTime(b, a.s.PID())
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
	changes := float64(2 * len(announce))
	b.ReportMetric(float64((processorTime(b, a.s.PID())-theirs).Microseconds())/changes, "speaker-cpu-us/change")
	b.ReportMetric(float64((processorTime(b, os.Getpid())-own).Microseconds())/changes, "agent-cpu-us/change")
	b.ReportMetric(float64(emptyCall(b, a.s.socket()).Microseconds()), "call-median-us")
	b.ReportMetric(residentMB(b, a.s.PID()), "speaker-RSS-MB")
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.messages); n == 0 || p.messages[0].kind != packet.BGP_MSG_OPEN {
		b.Errorf("%d messages", n)
	}
}

// emptyCall is how long a call takes that does nothing, in the median, from the same process to the same speaker.
func emptyCall(b *testing.B, socket string) time.Duration {
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	client := api.NewGobgpApiClient(conn)
	took := make([]time.Duration, 100)
	for i := range took {
		time.Sleep(5 * time.Millisecond) // as between the changes
		start := time.Now()
		if _, err := client.GetBgp(b.Context(), &api.GetBgpRequest{}); err != nil {
			b.Fatal(err)
		}
		took[i] = time.Since(start)
	}
	slices.Sort(took)
	return took[len(took)/2]
}

// processorTime is what all threads of a process have used, of user and system time, as precisely as the scheduler has it.
func processorTime(tb testing.TB, pid int) (sum time.Duration) {
	tb.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(tasks) == 0 {
		tb.Fatalf("no threads of %d: %v", pid, err)
	}
	for _, name := range tasks {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		var ns int64
		if _, err := fmt.Sscan(string(b), &ns); err != nil {
			tb.Fatal(err)
		}
		sum += time.Duration(ns)
	}
	return sum
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
