// Package conf is the configuration language: keepalived's, and what failoverd adds to it. It turns text into a
// failover.Config and back, and says what is wrong with a text, all of it, each thing with its place. It is pure: files
// come through a Source, the environment through an Env.
//
// A text passes four stages, each in a file of its own: reader.go makes logical lines of files (comments, conditional
// lines, variables, ~SEQ and ~LST, include), lexer.go makes words of a line, tree.go makes statements and blocks of
// words, and the keyword tables (table.go, globaltable.go, instancetable.go, and one beside each other kind of block) say
// what a statement means and decode it into a draft. When the whole text has been read, resolve.go and the resolve
// functions beside the drafts (track.go, tracker.go, syncgroup.go, notifyword.go, kernelword.go) check the drafts against
// each other - so references may come in any order - and build the configuration.
//
// Read Parse first, then table.go.
package conf

import (
	"strings"

	"failoverd/failover"
)

// Source gives access to configuration files. Names use slashes; a relative name is relative to where the agent runs.
//
// An implementation answers Read of a directory with an error, and leaves out of Glob what must not be included
// (directories, and as keepalived does, executable and non-regular files).
type Source interface {
	// Read returns the content of a file.
	Read(name string) ([]byte, error)
	// Glob returns the names that match a pattern of *, ? and [...], sorted. Braces have been expanded before.
	Glob(pattern string) ([]string, error)
}

// Env is what a text may refer to besides files.
type Env struct {
	// HostName is the node's name: the default of router_id, and cut at its first dot that of ConfigID.
	HostName string
	// ConfigID selects the lines that start with @ID, and is ${_INSTANCE}.
	ConfigID string
	// Random returns a number from 0 to n-1, for ${_RANDOM}; nil: always 0.
	Random func(n uint64) uint64
	// Lookup returns an environment variable, for ${_ENV NAME}; nil: there are none.
	Lookup func(name string) (string, bool)
}

// Identity returns ConfigID, or HostName up to its first dot if there is none.
func (e *Env) Identity() string {
	if e.ConfigID != "" {
		return e.ConfigID
	}
	short, _, _ := strings.Cut(e.HostName, ".")
	return short
}

// Options say how strict Parse is.
type Options struct {
	// Lenient makes what keepalived ignores too - an unknown keyword, surplus words - a warning instead of an error.
	// It is how a configuration is read at start, when there is none yet; the word strict_config in the text takes it
	// back.
	Lenient bool
}

// Parse reads the file called name with everything that it includes, and returns the configuration and all that there is
// to say about it, sorted by place. The configuration is nil when there is any error (see HasErrors).
func Parse(name string, src Source, env Env, opts Options) (*failover.Config, []Diagnostic) {
	d := decode(name, src, env, textBudget)
	cfg := d.resolve()
	diags := d.finish(opts.Lenient && !d.global.strict)
	if HasErrors(diags) {
		return nil, diags
	}
	return cfg, diags
}

// decode reads a text into drafts.
func decode(name string, src Source, env Env, budget int) *decoder {
	rep := newReporter()
	tree, hash := read(name, src, env, rep, budget)
	d := &decoder{
		reporter: rep, src: src, env: env, hash: hash,
		defined: map[[2]string]Token{}, tracked: map[failover.Tracker]*tracked{},
	}
	d.elsewhere, d.toplevel = contextOf, rootWords.has
	d.queue = tree.Lines
	for len(d.queue) > 0 {
		// Decoding may find top-level blocks inside others (a brace is missing): they are queued.
		lines := d.queue
		d.queue = nil
		walk(d, rootWords, struct{}{}, lines)
	}
	return d
}
