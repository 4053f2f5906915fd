package speaker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	gobgplog "github.com/osrg/gobgp/v3/pkg/log"
)

// troubleMessage is the record that says why a session is not up, with the attributes peer and reason. Supervised looks
// for it: gobgp's API carries no reason, its log does.
const troubleMessage = "BGP session trouble"

// Limits on what reaches the log: gobgp writes hundreds of lines when a neighbor floods it.
const (
	burst      = 5                // lines with the same message ...
	burstReset = 10 * time.Second // ... in this time
	repeat     = 5 * time.Minute  // after which the same reason is given again
	quiet      = 10 * time.Second // after one reason, in which another one for the same session is no warning
)

// logger is gobgp's log in slog's words. gobgp calls it from many goroutines, with its own locks held.
type logger struct {
	log   *slog.Logger
	fatal func(error) // gobgp cannot go on
	blame func(peer netip.Addr, reason string, level slog.Level)
	up    func() // a session came up; must not block

	mu           sync.Mutex
	notification map[string]string // by neighbor: the last NOTIFICATION, until the state change that it causes
	blamed       map[string]blamed
	lines        map[string]*lineCount
}

type blamed struct {
	reason string
	at     time.Time
	warned time.Time // when a reason was a warning last
}

type lineCount struct {
	since      time.Time
	seen, lost int
}

var _ gobgplog.Logger = (*logger)(nil)

// newLogger returns a logger that writes to log, reasons included.
func newLogger(log *slog.Logger, fatal func(error)) *logger {
	return &logger{
		log: log, fatal: fatal,
		blame: func(peer netip.Addr, reason string, level slog.Level) {
			log.Log(context.Background(), level, troubleMessage, "peer", peer.String(), "reason", reason)
		},
		up:           func() {},
		notification: map[string]string{}, blamed: map[string]blamed{}, lines: map[string]*lineCount{},
	}
}

// Panic implements gobgp's Logger; it does not return, as gobgp expects.
func (l *logger) Panic(msg string, f gobgplog.Fields) {
	l.write(slog.LevelError, msg, f)
	panic("gobgp: " + msg)
}

// Fatal implements gobgp's Logger.
func (l *logger) Fatal(msg string, f gobgplog.Fields) {
	l.write(slog.LevelError, msg, f)
	l.fatal(fmt.Errorf("gobgp: %s: %v", msg, f["Err"]))
}

// Error implements gobgp's Logger.
func (l *logger) Error(msg string, f gobgplog.Fields) {
	if msg == "failed to close existing tcp connection" { // it was closed already
		return
	}
	l.write(slog.LevelError, msg, f)
}

// Warn implements gobgp's Logger.
func (l *logger) Warn(msg string, f gobgplog.Fields) {
	peer := fmt.Sprint(f["Key"])
	switch msg {
	case "sent notification", "received notification":
		l.mu.Lock()
		l.notification[peer] = describe(msg == "sent notification", f)
		l.mu.Unlock()
		return // trouble will say it, with the state change
	// Ordinary life of a speaker that is not meant to be connected to, or that a router echoes routes to.
	case "No matching path for withdraw found, may be path was not installed into table",
		"Closed an accepted connection", "invalid peer type":
		return
	}
	l.write(slog.LevelWarn, msg, f)
}

// Info implements gobgp's Logger.
func (l *logger) Info(msg string, f gobgplog.Fields) {
	switch msg {
	case "Peer Up": // whatever was wrong is over; should it come again, it is news
		l.mu.Lock()
		delete(l.blamed, fmt.Sprint(f["Key"]))
		l.mu.Unlock()
		l.up()
		return
	case "Peer Down", "Add a peer configuration", "Delete a peer configuration", "Administrative shutdown":
		return // the agent says so, in its own words
	}
	l.write(slog.LevelInfo, msg, f)
}

// Debug implements gobgp's Logger. It writes nothing, but two of these messages are the only place where gobgp says
// why a session is not up.
func (l *logger) Debug(msg string, f gobgplog.Fields) {
	switch msg {
	case "failed to connect":
		err, _ := f["Error"].(error)
		l.trouble(fmt.Sprint(f["Key"]), describeConnect(fmt.Sprint(f["Key"]), err))
	case "state changed":
		peer := fmt.Sprint(f["Key"])
		if f["new"] == "BGP_FSM_IDLE" {
			l.mu.Lock()
			reason := l.notification[peer]
			delete(l.notification, peer)
			l.mu.Unlock()
			l.trouble(peer, describeReason(fmt.Sprint(f["reason"]), reason))
		}
	}
}

// SetLevel implements gobgp's Logger; what is written is decided here.
func (l *logger) SetLevel(gobgplog.LogLevel) {}

// GetLevel implements gobgp's Logger. It is Debug so that gobgp reports failures to connect at all.
func (l *logger) GetLevel() gobgplog.LogLevel { return gobgplog.DebugLevel }

// explain says why the session with a neighbor is about to end, which gobgp does not know.
func (l *logger) explain(peer netip.Addr, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.notification[peer.String()] = reason
}

// trouble reports a reason, unless it is the same as before and recent. Reasons that alternate are warnings only now and
// then: while a session is not up nothing really changed.
func (l *logger) trouble(peer, reason string) {
	addr, err := netip.ParseAddr(peer)
	if err != nil || reason == "" {
		return
	}
	now := time.Now()
	l.mu.Lock()
	last := l.blamed[peer]
	known := last.reason == reason && now.Sub(last.at) < repeat
	level := slog.LevelDebug
	if now.Sub(last.warned) >= quiet {
		level, last.warned = slog.LevelWarn, now
	}
	if !known {
		l.blamed[peer] = blamed{reason, now, last.warned}
	}
	l.mu.Unlock()
	if !known {
		l.blame(addr, reason, level)
	}
}

// write logs one of gobgp's lines, unless there were too many like it.
func (l *logger) write(level slog.Level, msg string, f gobgplog.Fields) {
	lost, ok := l.allow(msg, time.Now())
	if !ok {
		return
	}
	attrs := make([]slog.Attr, 0, len(f)+1)
	for k, v := range f {
		switch k {
		case "Key":
			attrs = append(attrs, slog.String("peer", fmt.Sprint(v)))
		case "Topic", gobgplog.FieldFacility:
		default:
			attrs = append(attrs, slog.String(strings.ToLower(k), fmt.Sprint(v)))
		}
	}
	if lost > 0 {
		attrs = append(attrs, slog.Int("suppressed", lost))
	}
	l.log.LogAttrs(context.Background(), level, msg, attrs...)
}

// allow counts lines with the same message, and says how many were suppressed before one that may pass.
func (l *logger) allow(msg string, now time.Time) (lost int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.lines[msg]
	if c == nil {
		c = &lineCount{since: now}
		l.lines[msg] = c
	}
	if now.Sub(c.since) >= burstReset {
		lost = c.lost
		*c = lineCount{since: now}
	}
	if c.seen++; c.seen > burst {
		c.lost++
		return 0, false
	}
	return lost, true
}

// describeConnect says why a connection could not be opened. A neighbor with another password drops our segments
// without an answer, so that case cannot be told from an unreachable one (RFC 2385 section 2).
func describeConnect(peer string, err error) string {
	at := peer
	var op *net.OpError
	if errors.As(err, &op) {
		if _, port, splitErr := net.SplitHostPort(fmt.Sprint(op.Addr)); splitErr == nil {
			at += " port " + port
		}
	}
	var system syscall.Errno
	switch {
	case err == nil:
		return ""
	case os.IsTimeout(err):
		return "no answer from " + at + ": timeout (unreachable, or the password differs, or TTL security is on at one end only)"
	case errors.Is(err, syscall.ECONNREFUSED):
		return at + " refuses connections: no BGP there, or it does not know us"
	case errors.As(err, &system):
		return "cannot connect to " + at + ": " + system.Error()
	default:
		return "cannot connect to " + at + ": " + err.Error()
	}
}

// describeReason is gobgp's reason for going to Idle; notification is the one that was exchanged just before, if any.
func describeReason(reason, notification string) string {
	switch {
	case notification != "":
		return notification
	case reason == "invalid-msg": // before the session is up gobgp does not tell a NOTIFICATION from other surprises
		return "the neighbor refused our OPEN: it may expect another AS, router id or address of us"
	case reason == "read-failed":
		return "the neighbor closed the connection"
	case reason == "write-failed":
		return "the connection broke"
	case reason == "hold-timer-expired":
		return "hold timer expired: nothing heard from the neighbor for the hold time"
	case reason == "dying", reason == "admin-down", reason == "<nil>": // our own doing
		return ""
	default:
		return reason
	}
}
