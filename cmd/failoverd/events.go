package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"failoverd/failover/daemon"
	"failoverd/failover/status"
)

const (
	// defaultEventDir holds the event log, below which each network namespace has a directory of its own.
	defaultEventDir = "/var/lib/failoverd"
	eventsFile      = "events.jsonl"
	// followEvery is the time between two looks of events --follow.
	followEvery = 200 * time.Millisecond
)

// eventLog is where events go unless the configuration says otherwise: what systemd provides for StateDirectory=, or the
// default; empty, for the state directory, when that was chosen by hand.
func (p *program) eventLog(namespace string) string {
	if p.getenv("FAILOVERD_STATE_DIR") != "" {
		return ""
	}
	d, _, _ := strings.Cut(p.getenv("STATE_DIRECTORY"), ":")
	return filepath.Join(cmp.Or(d, filepath.Join(defaultEventDir, namespace)), eventsFile)
}

// eventsFlags are the options of events.
type eventsFlags struct {
	socketFlags
	follow bool
	json   bool
	last   uint
}

func (p *program) eventsCommand() *cobra.Command {
	var f eventsFlags
	cmd := &cobra.Command{
		Use:   "events [--follow] [--json] [--last N]",
		Short: "Show what has happened: transitions with their evidence, takeovers with their stages",
		Long: `Show the newest events of the agent, a line each: what changed, why, who was heard, and for a takeover how long each
stage of it took. They are read from the event log, also when no agent runs: the file that the running agent names, or
event_log in FILE, or ` + defaultEventDir + "/" + eventsFile + `.

Exit status: 0, or 1 when there is no event log.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			return p.events(ctx, &f)
		},
	}
	f.register(cmd.Flags())
	cmd.Flags().BoolVar(&f.follow, "follow", false, "go on with what happens next until interrupted")
	cmd.Flags().BoolVar(&f.json, "json", false, "print the lines of the event log as they are")
	cmd.Flags().UintVar(&f.last, "last", 20, "begin with the newest `N` events")
	return cmd
}

// events prints the newest events, and then, if that is asked for, what comes.
func (p *program) events(ctx context.Context, f *eventsFlags) error {
	path := p.findEvents(ctx, f)
	t := &tail{path: path}
	defer t.close()
	lines, err := t.begin(int(min(f.last, 1<<20)))
	if errors.Is(err, fs.ErrNotExist) && f.follow {
		err = nil // it may come
	}
	if err != nil {
		return &exitError{exitFatal, fmt.Errorf("read the event log: %w", err)}
	}
	for {
		if err := p.printEvents(lines, f.json); err != nil || !f.follow {
			return outputError(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(followEvery):
		}
		if lines, err = t.more(); err != nil {
			return &exitError{exitFatal, fmt.Errorf("read the event log: %w", err)}
		}
	}
}

// findEvents returns the event log: of the agent that answers, or of the configuration, or the default.
func (p *program) findEvents(ctx context.Context, f *eventsFlags) string {
	if s, err := p.client(&f.socketFlags).Status(ctx); err == nil && s.Agent.EventLog != "" {
		return s.Agent.EventLog
	}
	namespace := ""
	if cfg, _, err := daemon.Load(f.options()); err == nil && cfg != nil {
		if cfg.EventLog != "" {
			return cfg.EventLog
		}
		namespace = cfg.Process.NetNamespace
	}
	inState := filepath.Join(p.stateDir(namespace), eventsFile)
	path := cmp.Or(p.eventLog(namespace), inState)
	if _, err := os.Stat(path); err != nil {
		if _, err := os.Stat(inState); err == nil {
			return inState
		}
	}
	return path
}

// printEvents prints lines of the event log. One that is not understood is printed as it is.
func (p *program) printEvents(lines [][]byte, asJSON bool) error {
	var b bytes.Buffer
	for _, line := range lines {
		var e status.Event
		if asJSON || json.Unmarshal(line, &e) != nil {
			b.Write(line)
		} else {
			b.WriteString(e.Text())
		}
		b.WriteByte('\n')
	}
	_, err := p.stdout.Write(b.Bytes())
	return err
}

// tail reads a file that grows, and that becomes FILE.1 when it is too large.
type tail struct {
	path string
	f    *os.File // nil: there was none
	rest []byte   // the begin of a line that is not complete
}

// begin returns the last n lines of the file and its predecessor.
func (t *tail) begin(n int) ([][]byte, error) {
	f, err := os.Open(t.path)
	if err != nil {
		return nil, err
	}
	t.f = f
	lines, err := t.read()
	if err == nil && len(lines) < n {
		if old, e := os.ReadFile(t.path + ".1"); e == nil {
			lines = append(split(&old), lines...)
		}
	}
	return lines[max(0, len(lines)-n):], err
}

// more returns what has come since, also what came last into a file that is FILE.1 by now.
func (t *tail) more() ([][]byte, error) {
	var lines [][]byte
	if t.f != nil {
		var err error
		there, gone := os.Stat(t.path)
		if lines, err = t.read(); err != nil {
			return nil, err
		}
		if open, err := t.f.Stat(); err != nil || gone == nil && os.SameFile(open, there) {
			return lines, err
		}
	}
	next, err := os.Open(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		return lines, nil
	}
	if err != nil {
		return lines, err
	}
	t.close()
	t.f, t.rest = next, nil
	fresh, err := t.read()
	return append(lines, fresh...), err
}

// read returns the complete lines from where the last read has ended, or from the begin if somebody has emptied the file.
func (t *tail) read() ([][]byte, error) {
	at, err := t.f.Seek(0, io.SeekCurrent)
	if info, e := t.f.Stat(); err == nil && e == nil && info.Size() < at {
		_, err = t.f.Seek(0, io.SeekStart)
		t.rest = nil
	}
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	b, err := io.ReadAll(t.f)
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	t.rest = append(t.rest, b...)
	return split(&t.rest), nil
}

func (t *tail) close() {
	if t.f != nil {
		_ = t.f.Close()
		t.f = nil
	}
}

// split takes the complete lines off the begin of b.
func split(b *[]byte) (lines [][]byte) {
	for {
		line, rest, ok := bytes.Cut(*b, []byte{'\n'})
		if !ok {
			return lines
		}
		if len(line) > 0 {
			lines = append(lines, line)
		}
		*b = rest
	}
}
