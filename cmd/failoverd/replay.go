package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"failoverd/failover"
	"failoverd/failover/daemon"
	"failoverd/failover/record"
	"failoverd/failover/status"
)

// exitDiffers: replay has come to other decisions than were recorded.
const exitDiffers = 3

// replayFlags are the options of replay.
type replayFlags struct {
	from, to string
	other    string
	json     bool
}

func (p *program) replayCommand() *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use:   "replay FILE [--from T] [--to T] [--follow-config OTHER.conf] [--json]",
		Short: "Decide again what a recorded agent has decided, and show what happened",
		Long: `Feed what an agent was told (record in global_defs) to the same code again, offline, show the events, and hold every
decision against the recorded one. No agent is asked, nothing is sent or programmed, and no privileges are needed.

T is a time as RFC 3339 has it, or how long after the begin of the recording (90s, 1h30m); it only limits what is shown.

With --follow-config it is shown what would have happened with another configuration: the same interfaces, packets,
checks, sessions and commands at the same times, no reloads, and a kernel and speakers that do what they are asked to.

Exit status: 0 all decisions are the same, or nothing was compared; 1 the file cannot be read, is no recording or one of
another format, or the core cannot go on; 3 a decision differs; 5 OTHER.conf has errors; 64 wrong usage. What comes after
the last whole line of a torn recording is left out, with a warning.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return p.replay(args[0], &f) },
	}
	cmd.Flags().StringVar(&f.from, "from", "", "show events from `T` on")
	cmd.Flags().StringVar(&f.to, "to", "", "show events until `T`")
	cmd.Flags().StringVar(&f.other, "follow-config", "", "show what would have happened with the configuration in `FILE`")
	cmd.Flags().BoolVar(&f.json, "json", false, "print events as in the event log, and the outcome as a JSON object")
	return cmd
}

// replayOutcome is the last line of replay --json.
type replayOutcome struct {
	Inputs      int              `json:"inputs"`
	Calls       int              `json:"calls"`
	Decisions   int              `json:"decisions"`
	Compared    bool             `json:"compared"`
	Program     string           `json:"recorded_by"`
	ThisProgram string           `json:"replayed_by"`
	Ended       string           `json:"recording_ended,omitempty"`
	Torn        string           `json:"torn,omitempty"`
	Difference  *replayDifferent `json:"difference,omitempty"`
}

// replayDifferent is a decision that differs.
type replayDifferent struct {
	Line     int      `json:"line"`
	Time     string   `json:"time"`
	Call     string   `json:"call"`
	Recorded []string `json:"recorded"`
	Replayed []string `json:"replayed"`
}

func (p *program) replay(file string, f *replayFlags) error {
	in, err := os.Open(file)
	if err != nil {
		return &exitError{exitFatal, fmt.Errorf("open the recording: %w", err)}
	}
	defer in.Close()
	r, err := record.NewReader(in)
	if err != nil {
		return &exitError{exitFatal, fmt.Errorf("%s: %w", file, err)}
	}
	from, to, err := f.span(&r.Header)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	var other *failover.Config
	if f.other != "" {
		if other, err = p.otherConfig(f.other); err != nil {
			return err
		}
	}
	replay, err := record.NewReplay(r, other)
	if err != nil {
		return &exitError{exitFatal, fmt.Errorf("%s: %w", file, err)}
	}
	if !f.json {
		fmt.Fprintf(p.stdout, "recorded by failoverd %s on %s from %s on, configuration %s (%s)\n", r.Header.Program, r.Header.Host,
			r.Header.Began().Local().Format("2006-01-02 15:04:05.000"), r.Header.File, r.Config.Hash)
	}
	var written error
	err = replay.All(func() {
		if written == nil {
			written = p.showReplayed(replay, f, from, to)
		}
	})
	if written != nil {
		return outputError(written)
	}
	return p.replayed(file, f, replay, err)
}

// otherConfig loads the configuration of --follow-config.
func (p *program) otherConfig(file string) (*failover.Config, error) {
	cfg, diagnostics, err := daemon.Load(daemon.LoadOptions{File: file})
	switch {
	case err != nil:
		return nil, &exitError{exitCheck, err}
	case cfg == nil:
		for _, d := range diagnostics {
			fmt.Fprintln(p.stderr, d.String())
		}
		return nil, &exitError{exitCheck, fmt.Errorf("%s has errors, so that nothing can be said about it", file)}
	}
	return cfg, nil
}

// span returns the times between which events are shown; zero: no limit.
func (f *replayFlags) span(h *record.Header) (from, to time.Time, err error) {
	at := func(flag, s string) (time.Time, error) {
		if s == "" {
			return time.Time{}, nil
		}
		if d, err := time.ParseDuration(s); err == nil {
			return h.Began().Add(d), nil
		}
		t, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			err = fmt.Errorf("--%s %q: want a time like 2026-05-04T12:00:00Z, or how long after the begin, like 90s", flag, s)
		}
		return t, err
	}
	if from, err = at("from", f.from); err == nil {
		to, err = at("to", f.to)
	}
	return from, to, err
}

// showReplayed prints the events of a batch.
func (p *program) showReplayed(r *record.Replay, f *replayFlags, from, to time.Time) error {
	clock := r.Clock()
	for i := range r.Events {
		e := &r.Events[i]
		if at := clock(e.At); !from.IsZero() && at.Before(from) || !to.IsZero() && at.After(to) {
			continue
		}
		ev := status.NewEvent(e, clock)
		text := []byte(ev.Text())
		if f.json {
			ev.BootID, ev.PID = r.Reader.Header.BootID, r.Reader.Header.PID
			line, err := json.Marshal(ev)
			if err != nil {
				return err
			}
			text = line
		}
		if _, err := p.stdout.Write(append(text, '\n')); err != nil {
			return err
		}
	}
	return nil
}

// replayed prints the outcome, and returns the exit status.
func (p *program) replayed(file string, f *replayFlags, r *record.Replay, err error) error {
	o := replayOutcome{
		Inputs: r.Inputs, Calls: r.Calls, Decisions: r.Decisions, Compared: f.other == "", Program: r.Reader.Header.Program,
		ThisProgram: buildVersion(), Ended: r.Reader.Ended,
	}
	var torn *record.TornError
	if errors.As(err, &torn) {
		o.Torn = torn.Error()
		fmt.Fprintf(p.stderr, "failoverd: %s: %v; everything before is replayed\n", file, torn)
		err = nil
	}
	if d := r.Difference; d != nil {
		o.Difference = &replayDifferent{d.Line, r.Clock()(d.At).UTC().Format(time.RFC3339Nano), d.What, d.Recorded.Lines(), d.Replayed.Lines()}
	}
	var out error
	if f.json {
		out = json.NewEncoder(p.stdout).Encode(&o)
	} else {
		_, out = io.WriteString(p.stdout, o.text(f))
	}
	switch {
	case out != nil:
		return outputError(out)
	case err != nil:
		return &exitError{exitFatal, fmt.Errorf("%s: %w", file, err)}
	case o.Difference != nil:
		return &exitError{exitDiffers, nil}
	}
	return nil
}

// text says what has come out.
func (o *replayOutcome) text(f *replayFlags) string {
	s := ""
	switch {
	case o.Ended != "":
		s = fmt.Sprintf("the recording ends because %s\n", o.Ended)
	case o.Torn == "":
		s = "the recording has no end: the agent goes on, or was killed\n"
	}
	if o.Program != o.ThisProgram {
		s += fmt.Sprintf("another version of the program: recorded by %s, replayed by %s; where they differ, this is what would have happened\n", o.Program, o.ThisProgram)
	}
	n := fmt.Sprintf("%d inputs, %d decisions", o.Inputs, o.Decisions)
	switch d := o.Difference; {
	case !o.Compared:
		s += n + fmt.Sprintf(": what would have happened with %s, if everything else had stayed as it was recorded\n", f.other)
	case d == nil:
		s += n + ", all the same\n"
	default:
		s += fmt.Sprintf("%s; the first one that differs is in line %d, at %s, after %s\nrecorded:\n%sreplayed:\n%s", n, d.Line, d.Time, d.Call,
			indented(d.Recorded), indented(d.Replayed))
	}
	return s
}

func indented(lines []string) (s string) {
	if len(lines) == 0 {
		return "  nothing\n"
	}
	for _, l := range lines {
		s += "  " + l + "\n"
	}
	return s
}
