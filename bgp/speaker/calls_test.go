package speaker

import (
	"context"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	api "github.com/osrg/gobgp/v3/api"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"failoverd/bgp"
	"failoverd/bgp/call"
)

// journal keeps a log.
type journal struct {
	mu sync.Mutex
	b  strings.Builder
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) has(text string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Contains(j.b.String(), text)
}

// Announcements and withdrawals go over the socket for urgent calls, and by gRPC with a process that has none; what the neighbor
// hears is the same.
func TestUrgentCalls(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ process, want string }{
		{"speaker", "calls=true"},
		{"speaker-without-calls", "calls=false"},
	} {
		t.Run(row.process, func(t *testing.T) {
			t.Parallel()
			var log journal
			p := newRawPeer(t, "127.0.0.2", nil)
			a := startAgent(t, speakerOf(rawNeighbor(p)), func(c *Config) {
				c.Command[1], c.Log = row.process, slog.New(slog.NewTextHandler(&log, nil))
			})
			a.until(sessionUp, "a session", established)
			n := 0
			for range 3 {
				a.set(route4())
				_, n = p.wait(n, prompt, "announcement", is("+198.51.100.0/24"))
				a.set()
				_, n = p.wait(n, prompt, "withdrawal", is("-198.51.100.0/24"))
			}
			if !log.has(row.want) {
				t.Errorf("no connection with %s", row.want)
			}
			if r := a.last(); r.Restarts != 0 {
				t.Errorf("%d restarts", r.Restarts)
			}
		})
	}
}

// The socket for urgent calls lets nothing through that gRPC would not: the allow list, the number and the lease are asked about
// there as well. Nothing but urgent calls can be made there at all.
func TestUrgentCallsAreGuarded(t *testing.T) {
	t.Parallel()
	const lease = time.Second
	p := newRawPeer(t, "127.0.0.2", nil)
	cfg := speakerOf(rawNeighbor(p))
	cfg.MaxAnnouncements = 1
	a := startAgent(t, cfg, func(c *Config) { c.Lease = lease })
	a.set(route4())
	a.until(sessionUp, "the session", allEstablished)
	_, n := p.wait(0, prompt, "our route", is("+198.51.100.0/24"))

	ctx, cancel := context.WithTimeout(context.Background(), sessionUp)
	defer cancel()
	conn, err := call.Dial(ctx, filepath.Join(filepath.Dir(a.s.socket()), call.SocketName))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := api.NewGobgpApiClient(conn)
	refused := func(what string, want codes.Code, err error) {
		t.Helper()
		if status.Code(err) != want {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	add := func(p netip.Prefix) error {
		_, err := c.AddPath(ctx, &api.AddPathRequest{TableType: api.TableType_GLOBAL, Path: plainPath(p)})
		return err
	}
	refused("a foreign prefix", codes.PermissionDenied, add(netip.MustParsePrefix("203.0.113.0/24")))
	refused("one more than may be", codes.PermissionDenied, add(service6))
	_, err = c.StopBgp(ctx, &api.StopBgpRequest{})
	refused("another call", codes.Unimplemented, err)
	_, err = c.WatchEvent(ctx, &api.WatchEventRequest{})
	refused("a stream", codes.Unimplemented, err)
	refused("what is there already", codes.OK, add(service4))

	a.freeze(true)
	p.wait(n, lease+prompt, "the withdrawal by the lease", is("-198.51.100.0/24"))
	refused("an announcement after the lease", codes.FailedPrecondition, add(service4))
	a.freeze(false)
	a.until(prompt, "the route again", func(r bgp.Report) bool { return len(r.Announced) == 1 && r.Err == "" })
}
