package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"log/syslog"
	"strconv"
	"strings"
	"sync"
)

// syslogHandler writes records to the system's log, where keepalived's go when it has no terminal.
type syslogHandler struct {
	w    *syslog.Writer
	text slog.Handler

	shared *syslogLine
}

// syslogLine is where the text handlers of all derived handlers write.
type syslogLine struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// newSyslog connects to the system's log. The facility is keepalived's number for LOG_LOCAL0 to LOG_LOCAL7, or a name;
// empty: daemon.
func newSyslog(facility string, level slog.Leveler) (slog.Handler, error) {
	f, err := parseFacility(facility)
	if err != nil {
		return nil, err
	}
	w, err := syslog.New(f|syslog.LOG_INFO, "failoverd")
	if err != nil {
		return nil, fmt.Errorf("open the system log: %w", err)
	}
	line := &syslogLine{}
	text := slog.NewTextHandler(&line.buf, &slog.HandlerOptions{Level: level, ReplaceAttr: withoutTime})
	return &syslogHandler{w, text, line}, nil
}

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
	line := strings.TrimSuffix(h.shared.buf.String(), "\n")
	switch {
	case r.Level >= slog.LevelError:
		return h.w.Err(line)
	case r.Level >= slog.LevelWarn:
		return h.w.Warning(line)
	case r.Level >= slog.LevelInfo:
		return h.w.Info(line)
	}
	return h.w.Debug(line)
}

// WithAttrs implements slog.Handler.
func (h *syslogHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &syslogHandler{h.w, h.text.WithAttrs(attrs), h.shared}
}

// WithGroup implements slog.Handler.
func (h *syslogHandler) WithGroup(name string) slog.Handler {
	return &syslogHandler{h.w, h.text.WithGroup(name), h.shared}
}
