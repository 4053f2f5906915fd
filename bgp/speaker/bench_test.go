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
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"failoverd/bgp"
)

// BenchmarkSetToWire measures from Set to the neighbor's kernel having the UPDATE, with the speaker in its own process:
// announcements and withdrawals in turn. Beside it stand when the neighbor has read it, a call of gRPC that does nothing, twice
// through all the processes have between them, and what a change costs in processor time, with the reading back and the report.
// The second half is for a speaker that has to be asked by gRPC, as one of an older version.
func BenchmarkSetToWire(b *testing.B) {
	b.Run("call", func(b *testing.B) { setToWire(b, "speaker") })
	b.Run("grpc", func(b *testing.B) { setToWire(b, "speaker-without-calls") })
}

func setToWire(b *testing.B, process string) {
	p := newRawPeer(b, "127.0.0.2", nil)
	a := startAgent(b, speakerOf(rawNeighbor(p)), func(c *Config) { c.Command[1], c.Log = process, discard() })
	a.until(sessionUp, "a session", established)
	took := map[string][]time.Duration{}
	update := func(name, want string, routes ...bgp.Route) {
		time.Sleep(5 * time.Millisecond) // the agent's wishes come one by one, not in a burst
		n := len(p.all())
		start := time.Now()
		a.set(routes...)
		m, _ := p.wait(n, 5*time.Second, want, is(want))
		took[name] = append(took[name], m.wire.Sub(start))
		took[name+"-read"] = append(took[name+"-read"], m.at.Sub(start))
	}
	own, theirs := processorTime(b, os.Getpid()), processorTime(b, a.s.PID())
	changes := 0.0
	for b.Loop() {
		update("announce", "+198.51.100.0/24", route4())
		update("withdraw", "-198.51.100.0/24")
		changes += 2
	}
	for name, d := range took {
		slices.Sort(d)
		b.ReportMetric(float64(d[len(d)/2].Microseconds()), name+"-median-us")
		if !strings.HasSuffix(name, "-read") {
			b.ReportMetric(float64(d[0].Microseconds()), name+"-min-us")
			b.ReportMetric(float64(d[len(d)*99/100].Microseconds()), name+"-p99-us")
			b.ReportMetric(float64(d[len(d)-1].Microseconds()), name+"-max-us")
		}
	}
	b.ReportMetric(float64((processorTime(b, a.s.PID())-theirs).Microseconds())/changes, "speaker-cpu-us/change")
	b.ReportMetric(float64((processorTime(b, os.Getpid())-own).Microseconds())/changes, "agent-cpu-us/change")
	b.ReportMetric(float64(emptyCall(b, a.s.socket()).Microseconds()), "grpc-call-median-us")
	b.ReportMetric(residentMB(b, a.s.PID()), "speaker-RSS-MB")
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
