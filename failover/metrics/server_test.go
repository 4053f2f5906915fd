package metrics

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"failoverd/failover"
)

// freeAddress returns an address of this host that nobody listens on.
func freeAddress(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// serve runs a server until the test ends, which is only then.
func serve(t *testing.T, at netip.AddrPort, s *failover.Snapshot) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		New(at, func() *failover.Snapshot { return s }, slog.New(slog.DiscardHandler)).Serve(ctx)
	}()
	t.Cleanup(func() {
		stop()
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			t.Error("the server does not end")
		}
	})
}

// get asks until the server is there.
func get(t *testing.T, url string) (code int, body string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		r, err := http.Get(url)
		if err != nil {
			if time.Now().After(deadline) {
				t.Fatal(err)
			}
			continue
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, string(b)
	}
}

func TestServer(t *testing.T) {
	at := freeAddress(t)
	serve(t, at, everything())
	code, body := get(t, "http://"+at.String()+Path)
	if code != http.StatusOK {
		t.Errorf("status %d", code)
	}
	for _, want := range []string{`failoverd_router_state{router="A",state="BACKUP",vr="eth0/4/51"} 1`, "process_resident_memory_bytes ", "go_goroutines "} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in\n%s", want, body)
		}
	}
	if code, _ := get(t, "http://"+at.String()+"/v1/status"); code != http.StatusNotFound {
		t.Errorf("another path: status %d", code)
	}
	r, err := http.Post("http://"+at.String()+Path, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Body.Close()
	if r.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: status %d", r.StatusCode)
	}
	if tool, err := exec.LookPath("promtool"); err == nil {
		cmd := exec.Command(tool, "check", "metrics")
		cmd.Stdin = strings.NewReader(body)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool: %v\n%s", err, out)
		}
	}
}

// TestAddressInUse: a server whose address is taken is there when it is free.
func TestAddressInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().(*net.TCPAddr).AddrPort()
	serve(t, at, everything())
	time.Sleep(50 * time.Millisecond)
	_ = l.Close()
	if code, _ := get(t, "http://"+at.String()+Path); code != http.StatusOK {
		t.Errorf("status %d", code)
	}
}
