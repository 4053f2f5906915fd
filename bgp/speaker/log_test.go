package speaker

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	gobgplog "github.com/osrg/gobgp/v3/pkg/log"
	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"
)

// Why a session is not up: what gobgp logs, and what an operator reads.
func TestReasons(t *testing.T) {
	const peer = "203.0.113.1"
	idle := func(reason string) gobgplog.Fields {
		return gobgplog.Fields{"Key": peer, "new": "BGP_FSM_IDLE", "reason": reason}
	}
	dial := func(err error) gobgplog.Fields {
		addr := &net.TCPAddr{IP: net.ParseIP(peer), Port: 179}
		return gobgplog.Fields{"Key": peer, "Error": &net.OpError{Op: "dial", Net: "tcp", Addr: addr, Err: err}}
	}
	refused := os.NewSyscallError("connect", syscall.ECONNREFUSED)
	for _, row := range []struct {
		name, want string
		say        func(*logger)
	}{
		{
			"timeout", "no answer from 203.0.113.1 port 179: timeout (unreachable, or the password differs, or TTL security is on at one end only)",
			func(l *logger) { l.Debug("failed to connect", dial(os.ErrDeadlineExceeded)) },
		},
		{
			"refused", "203.0.113.1 port 179 refuses connections: no BGP there, or it does not know us",
			func(l *logger) { l.Debug("failed to connect", dial(refused)) },
		},
		{
			"no route", "cannot connect to 203.0.113.1 port 179: no route to host",
			func(l *logger) {
				l.Debug("failed to connect", dial(os.NewSyscallError("connect", syscall.EHOSTUNREACH)))
			},
		},
		{
			"own address missing", "cannot connect to 203.0.113.1 port 179: cannot assign requested address",
			func(l *logger) { l.Debug("failed to connect", dial(os.NewSyscallError("bind", syscall.EADDRNOTAVAIL))) },
		},
		{
			"anything else", "cannot connect to 203.0.113.1: strange",
			func(l *logger) {
				l.Debug("failed to connect", gobgplog.Fields{"Key": peer, "Error": errors.New("strange")})
			},
		},
		{"wrong AS", "sent NOTIFICATION 2/2 (OPEN Message Error, Bad Peer AS): as number mismatch", func(l *logger) {
			l.Warn("sent notification", gobgplog.Fields{"Key": peer, "Data": packet.NewMessageError(2, 2, nil, "as number mismatch")})
			l.Debug("state changed", idle("invalid-msg"))
		}},
		{"BGP_SHUT_01_ReceivedText", `received NOTIFICATION 6/2 (Cease, Administrative Shutdown): "\xffbye\n"`, func(l *logger) {
			l.Warn("received notification", gobgplog.Fields{"Key": peer, "Code": uint8(6), "Subcode": uint8(2), "Communicated-Reason": "\xffbye\n"})
			l.Debug("state changed", idle("notification-received"))
		}},
		{"unknown codes", "received NOTIFICATION 99/7 (unknown error code)", func(l *logger) {
			l.Warn("received notification", gobgplog.Fields{"Key": peer, "Code": uint8(99), "Subcode": uint8(7), "Data": []byte{1}})
			l.Debug("state changed", idle("notification-received"))
		}},
		{
			"hold timer", "hold timer expired: nothing heard from the neighbor for the hold time",
			func(l *logger) { l.Debug("state changed", idle("hold-timer-expired")) },
		},
		{"closed", "the neighbor closed the connection", func(l *logger) { l.Debug("state changed", idle("read-failed")) }},
		{"broken", "the connection broke", func(l *logger) { l.Debug("state changed", idle("write-failed")) }},
		{
			"our OPEN refused", "the neighbor refused our OPEN: it may expect another AS, router id or address of us",
			func(l *logger) { l.Debug("state changed", idle("invalid-msg")) },
		},
		{"our own doing", "", func(l *logger) { l.Debug("state changed", idle("dying")) }},
		{"another state", "", func(l *logger) {
			l.Debug("state changed", gobgplog.Fields{"Key": peer, "new": "BGP_FSM_ACTIVE", "reason": "idle-hold-timer-expired"})
		}},
		{"not an address", "", func(l *logger) {
			l.Debug("state changed", gobgplog.Fields{"Key": "x", "new": "BGP_FSM_IDLE", "reason": "read-failed"})
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			l := newLogger(discard(), nil)
			got := ""
			l.blame = func(addr netip.Addr, reason string, _ slog.Level) {
				if addr.String() != peer {
					t.Errorf("blamed %v", addr)
				}
				got = reason
			}
			row.say(l)
			if got != row.want {
				t.Errorf("got  %s\nwant %s", got, row.want)
			}
		})
	}
}

// The same reason is given once, until it changes or the session was up in between.
func TestReasonIsNotRepeated(t *testing.T) {
	l := newLogger(discard(), nil)
	n := 0
	l.blame = func(netip.Addr, string, slog.Level) { n++ }
	lose := func(why string, want int) {
		t.Helper()
		l.Debug("state changed", gobgplog.Fields{"Key": "203.0.113.1", "new": "BGP_FSM_IDLE", "reason": why})
		if n != want {
			t.Errorf("%d reasons, want %d", n, want)
		}
	}
	lose("read-failed", 1)
	lose("read-failed", 1)
	lose("hold-timer-expired", 2)
	lose("read-failed", 3)
	l.Info("Peer Up", gobgplog.Fields{"Key": "203.0.113.1"})
	lose("read-failed", 4)
}

// Reasons that alternate are all told, for the status, and are a warning once in a while; a session that was up makes the
// next one news.
func TestAlternatingReasons(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLogger(discard(), nil)
		told, warned := 0, 0
		l.blame = func(_ netip.Addr, _ string, level slog.Level) {
			told++
			if level >= slog.LevelWarn {
				warned++
			}
		}
		lose := func(n int) {
			for i := range n {
				why := []string{"read-failed", "hold-timer-expired"}[i%2]
				l.Debug("state changed", gobgplog.Fields{"Key": "203.0.113.1", "new": "BGP_FSM_IDLE", "reason": why})
				time.Sleep(time.Second)
			}
		}
		lose(30)
		if told != 30 || warned != 3 {
			t.Errorf("30 s: %d reasons, %d warnings; want 30 and 3", told, warned)
		}
		lose(1)
		l.Info("Peer Up", gobgplog.Fields{"Key": "203.0.113.1"})
		lose(1)
		if warned != 5 {
			t.Errorf("%d warnings after the session was up, want 5", warned)
		}
	})
}

// A notification explains the loss that it causes, not the next one.
func TestNotificationExplainsOneLoss(t *testing.T) {
	l := newLogger(discard(), nil)
	var got []string
	l.blame = func(_ netip.Addr, reason string, _ slog.Level) { got = append(got, reason) }
	l.Warn("received notification", gobgplog.Fields{"Key": "203.0.113.1", "Code": uint8(6), "Subcode": uint8(4)})
	for range 2 {
		l.Debug("state changed", gobgplog.Fields{"Key": "203.0.113.1", "new": "BGP_FSM_IDLE", "reason": "read-failed"})
	}
	want := []string{"received NOTIFICATION 6/4 (Cease, Administrative Reset)", "the neighbor closed the connection"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLogIsLimited(t *testing.T) {
	var out bytes.Buffer
	l := newLogger(slog.New(slog.NewTextHandler(&out, nil)), nil)
	for range 700 {
		l.Warn("prefix limit reached", gobgplog.Fields{"Topic": "Peer", "Key": "203.0.113.1"})
	}
	l.Warn("another message", nil)
	if n := strings.Count(out.String(), "prefix limit reached"); n != burst {
		t.Errorf("%d lines, want %d", n, burst)
	}
	if !strings.Contains(out.String(), "another message") {
		t.Error("another message is suppressed too")
	}
	// Later, the number of the lost ones is told.
	if lost, ok := l.allow("prefix limit reached", time.Now().Add(burstReset)); !ok || lost != 700-burst {
		t.Errorf("%d suppressed, %v", lost, ok)
	}
}

func TestLogTranslation(t *testing.T) {
	var out bytes.Buffer
	fatal := ""
	l := newLogger(slog.New(slog.NewTextHandler(&out, nil)), func(err error) { fatal = err.Error() })
	l.Warn("Something", gobgplog.Fields{"Topic": "Peer", "Key": "203.0.113.1", "State": "IDLE"})
	if s := out.String(); !strings.Contains(s, "level=WARN msg=Something") || !strings.Contains(s, "peer=203.0.113.1") ||
		!strings.Contains(s, "state=IDLE") || strings.Contains(s, "opic") {
		t.Errorf("line %q", s)
	}
	out.Reset()
	l.Debug("received update", gobgplog.Fields{"Key": "203.0.113.1"})
	l.Info("Add a peer configuration", gobgplog.Fields{"Key": "203.0.113.1"})
	l.Warn("Closed an accepted connection", gobgplog.Fields{"Key": "203.0.113.1"})
	if out.Len() > 0 {
		t.Errorf("noise: %s", &out)
	}
	l.Fatal("failed to listen grpc port", gobgplog.Fields{"Err": errors.New("address already in use")})
	if fatal != "gobgp: failed to listen grpc port: address already in use" {
		t.Errorf("fatal: %q", fatal)
	}
	defer func() {
		if recover() == nil {
			t.Error("Panic returned")
		}
	}()
	l.Panic("code logic bug", nil)
}
