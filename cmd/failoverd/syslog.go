package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"log/syslog"
	"strconv"
	"strings"
	"sync"
	"time"
)

// syslogHandler writes records to the system's log, where keepalived's go when it has no terminal.
type syslogHandler struct {
	text slog.Handler

	shared *syslogLine
}

// syslogLine is where the text handlers of all derived handlers write.
type syslogLine struct {
	open func() (*syslog.Writer, error)

	mu    sync.Mutex
	buf   bytes.Buffer
	w     *syslog.Writer // nil: the system's log is not there
	again time.Time      // it is not asked for before
}

// syslogGap is how often a system log that is not there is asked for. At boot it may come later than the agent.
const syslogGap = time.Second

// newSyslog returns a handler for the system's log, which need not be there yet: what is logged until then is lost. The
// facility is keepalived's number for LOG_LOCAL0 to LOG_LOCAL7, or a name; empty: daemon.
func newSyslog(facility string, level slog.Leveler) (slog.Handler, error) {
	f, err := parseFacility(facility)
	if err != nil {
		return nil, err
	}
	return newSyslogHandler(func() (*syslog.Writer, error) { return syslog.New(f|syslog.LOG_INFO, "failoverd") }, level), nil
}

func newSyslogHandler(open func() (*syslog.Writer, error), level slog.Leveler) *syslogHandler {
	line := &syslogLine{open: open}
	return &syslogHandler{slog.NewTextHandler(&line.buf, &slog.HandlerOptions{Level: level, ReplaceAttr: withoutTime}), line}
}

// writer returns the connection to the system's log, opening it if need be. It belongs to the mutex.
func (l *syslogLine) writer() (w *syslog.Writer, err error) {
	if l.w != nil {
		return l.w, nil
	}
	now := time.Now()
	if now.Before(l.again) {
		return nil, errNoSyslog
	}
	l.again = now.Add(syslogGap)
	if l.w, err = l.open(); err != nil {
		return nil, fmt.Errorf("open the system log: %w", err)
	}
	return l.w, nil
}

var errNoSyslog = errors.New("there is no system log")

// withoutTime leaves out what the system's log adds by itself.
func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
		return slog.Attr{}
	}
	return a
}

func parseFacility(s string) (syslog.Priority, error) {
	names := map[string]syslog.Priority{"": syslog.LOG_DAEMON, "daemon": syslog.LOG_DAEMON, "user": syslog.LOG_USER}
	for i := range 8 {
		p := syslog.LOG_LOCAL0 + syslog.Priority(i)<<3
		names[strconv.Itoa(i)], names["local"+strconv.Itoa(i)] = p, p
	}
	p, ok := names[strings.ToLower(s)]
	if !ok {
		return 0, fmt.Errorf("option -S: %q is not a facility (want 0 to 7, local0 to local7, daemon or user)", s)
	}
	return p, nil
}

// Enabled implements slog.Handler.
func (h *syslogHandler) Enabled(ctx context.Context, l slog.Level) bool {
	return h.text.Enabled(ctx, l)
}

// Handle implements slog.Handler.
func (h *syslogHandler) Handle(ctx context.Context, r slog.Record) error {
	h.shared.mu.Lock()
	defer h.shared.mu.Unlock()
	h.shared.buf.Reset()
	if err := h.text.Handle(ctx, r); err != nil {
		return err
	}
	w, err := h.shared.writer()
	if err != nil {
		return err
	}
	line := strings.TrimSuffix(h.shared.buf.String(), "\n")
	switch {
	case r.Level >= slog.LevelError:
		return w.Err(line)
	case r.Level >= slog.LevelWarn:
		return w.Warning(line)
	case r.Level >= slog.LevelInfo:
		return w.Info(line)
	}
	return w.Debug(line)
}

// WithAttrs implements slog.Handler.
func (h *syslogHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &syslogHandler{h.text.WithAttrs(attrs), h.shared}
}

// WithGroup implements slog.Handler.
func (h *syslogHandler) WithGroup(name string) slog.Handler {
	return &syslogHandler{h.text.WithGroup(name), h.shared}
}
