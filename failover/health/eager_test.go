package health

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// hasten connects to a server that does something with its only connection.
func hasten(ctx context.Context, t *testing.T, serve func(*net.TCPConn)) *eager {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		if c, err := l.Accept(); err == nil {
			serve(c.(*net.TCPConn))
		}
	}()
	s, err := way{}.begin(ctx, unix.SOCK_STREAM, 0, netip.MustParseAddrPort(l.Addr().String()), talkative)
	if err != nil {
		t.Fatal(err)
	}
	e := &eager{attempt: s, ctx: ctx}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// More than fits into the buffers of a socket goes out all the same, and comes back, whoever has to wait for whom.
func TestEagerCarriesAll(t *testing.T) {
	text := []byte(strings.Repeat("0123456789", 1<<20))
	e := hasten(t.Context(), t, func(c *net.TCPConn) {
		defer c.Close()
		got, _ := io.ReadAll(io.LimitReader(c, int64(len(text))))
		_, _ = c.Write(got)
	})
	if n, err := e.Write(text); n != len(text) || err != nil {
		t.Fatal(n, err)
	}
	if got, err := io.ReadAll(e); !bytes.Equal(got, text) || err != nil {
		t.Errorf("%d octets of %d came back: %v", len(got), len(text), err)
	}
	if e.link == nil {
		t.Error("10 MB without waiting once")
	}
}

// What has come already is read without a link, and so are an end and a reset.
func TestEagerWaitsForNothing(t *testing.T) {
	for _, tt := range []struct {
		name  string
		serve func(*net.TCPConn)
		want  string
		err   error
	}{
		{"an end", func(c *net.TCPConn) { _, _ = c.Write([]byte("all")); _ = c.Close() }, "all", nil},
		{"a reset", func(c *net.TCPConn) { _ = c.SetLinger(0); _ = c.Close() }, "", syscall.ECONNRESET},
	} {
		done := make(chan struct{})
		e := hasten(t.Context(), t, func(c *net.TCPConn) { tt.serve(c); close(done) })
		<-done
		got, err := io.ReadAll(e)
		if string(got) != tt.want || !errors.Is(err, tt.err) || e.link != nil {
			t.Errorf("%s: %q %v, waited: %v", tt.name, got, err, e.link != nil)
		}
	}
}

// A read that waits ends at the deadline, and with the context around it.
func TestEagerEnds(t *testing.T) {
	const soon = 20 * time.Millisecond
	for _, tt := range []struct {
		name     string
		limit    time.Duration
		canceled bool
	}{{"deadline", soon, false}, {"canceled", time.Hour, true}, {"canceled before", time.Hour, true}} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		run, stop := context.WithTimeout(ctx, tt.limit)
		defer stop()
		e := hasten(run, t, func(*net.TCPConn) {})
		switch {
		case tt.name == "canceled before":
			cancel()
		case tt.canceled:
			time.AfterFunc(soon, cancel)
		}
		if _, err := e.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if run.Err() == nil {
			t.Errorf("%s: the run goes on", tt.name)
		}
	}
}
