package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"failoverd/conf"
	"failoverd/failover"
	"failoverd/failover/daemon"
)

// toStderr is the value of -t without a log file.
const toStderr = "stderr"

// checkFlags are the options of check.
type checkFlags struct {
	fileFlags
	strict bool
	json   bool
}

func (p *program) checkCommand() *cobra.Command {
	var f checkFlags
	cmd := &cobra.Command{
		Use:   "check [-f FILE] [-i CONFIG-ID] [--strict] [--json]",
		Short: "Say what is wrong with a configuration",
		Long: `Read a configuration as run would and say everything that is wrong with it, a line each:
FILE:LINE:COLUMN: severity: message. Nothing is changed, and no privileges are needed.

Exit status: 0 clean, or with warnings only; 1 with warnings when --strict is given; 5 with errors, or without
a readable file; 64 wrong usage.`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error { return p.check(&f, p.stderr) },
	}
	f.register(cmd.Flags())
	cmd.Flags().BoolVar(&f.strict, "strict", false, "exit with 1 when there are warnings")
	cmd.Flags().BoolVar(&f.json, "json", false, "print one JSON object for machines on standard output")
	return cmd
}

// configTest is keepalived's -t.
func (p *program) configTest(f *runFlags, log string) error {
	w := p.stderr
	if log != toStderr {
		file, err := os.OpenFile(log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
		if err != nil {
			return &exitError{exitFatal, fmt.Errorf("option -t: %w", err)}
		}
		defer file.Close()
		w = file
	}
	return p.check(&checkFlags{fileFlags: f.fileFlags}, w)
}

// check loads the file and reports to w, or in JSON to standard output.
func (p *program) check(f *checkFlags, w io.Writer) error {
	o := f.options()
	o.Strict = true
	cfg, diagnostics, err := daemon.Load(o)
	v := newVerdict(o.File, cfg, diagnostics, err)
	v.Notes = p.notes(cfg)
	if f.json {
		err = v.writeJSON(p.stdout)
	} else {
		err = v.write(p.stdout, w)
	}
	if err != nil {
		return outputError(err)
	}
	if status := v.status(f.strict); status != 0 {
		return &exitError{status: status}
	}
	return nil
}

// checkVerdict is what check has found. Its JSON form is for machines.
type checkVerdict struct {
	File        string            `json:"file"`
	OK          bool              `json:"ok"` // there are no errors
	Errors      int               `json:"errors"`
	Warnings    int               `json:"warnings"`
	Unreadable  string            `json:"unreadable,omitempty"` // why the file could not be read; counts as an error
	Hash        string            `json:"hash,omitempty"`       // of the configuration, as in status
	Routers     int               `json:"routers"`
	Services    int               `json:"anycast_services,omitempty"`
	Speakers    int               `json:"speakers"`
	Diagnostics []checkDiagnostic `json:"diagnostics"`
	// Notes are about this host, not about the file.
	Notes []string `json:"notes,omitempty"`

	lines []string
}

type checkDiagnostic struct {
	File     string `json:"file"`
	Line     int    `json:"line"`   // from 1
	Column   int    `json:"column"` // from 1
	Severity string `json:"severity"`
	Message  string `json:"message"`
}

func newVerdict(file string, cfg *failover.Config, diagnostics []conf.Diagnostic, err error) *checkVerdict {
	v := &checkVerdict{File: file, Diagnostics: []checkDiagnostic{}}
	if err != nil {
		v.Errors, v.Unreadable = 1, err.Error()
	}
	for _, d := range diagnostics {
		if d.Severity == conf.Error {
			v.Errors++
		} else {
			v.Warnings++
		}
		v.lines = append(v.lines, d.String())
		v.Diagnostics = append(v.Diagnostics, checkDiagnostic{
			d.Pos.File, d.Pos.Line, d.Pos.Column, d.Severity.String(), d.Message,
		})
	}
	v.OK = v.Errors == 0
	if cfg != nil {
		v.Hash, v.Speakers = cfg.Hash, len(cfg.Speakers)
		for i := range cfg.Routers {
			if cfg.Routers[i].Anycast != nil {
				v.Services++
			} else {
				v.Routers++
			}
		}
	}
	return v
}

// status is the exit status.
func (v *checkVerdict) status(strict bool) int {
	switch {
	case !v.OK:
		return exitCheck
	case strict && v.Warnings > 0:
		return exitFatal
	}
	return 0
}

// write prints the findings to log and, when there are no errors, a summary to out.
func (v *checkVerdict) write(out, log io.Writer) error {
	for _, l := range slices.Concat(v.lines, v.Notes) {
		if _, err := fmt.Fprintln(log, l); err != nil {
			return err
		}
	}
	if v.Unreadable != "" {
		_, err := fmt.Fprintln(log, v.Unreadable)
		return err
	}
	if v.OK {
		services := ""
		if v.Services > 0 {
			services = fmt.Sprintf(" %d anycast services,", v.Services)
		}
		_, err := fmt.Fprintf(out, "%s: %d virtual routers,%s %d BGP speakers, %d warnings\n", v.File, v.Routers, services, v.Speakers, v.Warnings)
		return err
	}
	_, err := fmt.Fprintf(log, "%s: %d errors, %d warnings\n", v.File, v.Errors, v.Warnings)
	return err
}

func (v *checkVerdict) writeJSON(out io.Writer) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
