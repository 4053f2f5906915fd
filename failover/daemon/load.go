package daemon

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"syscall"

	"failoverd/conf"
	"failoverd/failover"
	"failoverd/failover/script"
)

// maxFile is the size of the largest configuration file that is read. 10000 routers take about 5 MB.
const maxFile = 64 << 20

// LoadOptions say which configuration to load, and how.
type LoadOptions struct {
	File string
	// ConfigID selects the lines that begin with @ID; empty: the host's name up to its first dot.
	ConfigID string
	// Strict makes an error of what is tolerated with a warning at start, such as an unknown keyword. A check and a
	// reload are strict: there, nothing is lost by refusing.
	Strict bool
}

// LoadError says that the configuration file itself could not be read. It wraps fs.ErrNotExist or fs.ErrPermission
// where that is why.
type LoadError struct {
	File string
	Err  error
}

// Error implements error.
func (e *LoadError) Error() string {
	text := fmt.Sprintf("read configuration %s: %v", e.File, e.Err)
	if errors.Is(e.Err, fs.ErrPermission) {
		text += " to user " + userName() + " (chgrp and chmod 640 let its group read the file, and nobody else)"
	}
	return text
}

// userName returns the name of this process's user, or its number if it has none.
func userName() string {
	number := strconv.Itoa(os.Geteuid())
	if u, err := user.LookupId(number); err == nil {
		return u.Username
	}
	return number
}

// Unwrap returns the reason.
func (e *LoadError) Unwrap() error { return e.Err }

// Load reads a configuration with everything that it includes, each file once. The configuration is nil if there is an
// error among the diagnostics. The error, a *LoadError, is about the file as such; what is wrong with included ones is
// among the diagnostics.
func Load(o LoadOptions) (*failover.Config, []conf.Diagnostic, error) {
	cfg, diagnostics, _, err := load(o)
	return cfg, diagnostics, err
}

// environment is what a configuration may refer to besides files.
func environment(o *LoadOptions) (conf.Env, error) {
	host, err := os.Hostname()
	if err != nil {
		return conf.Env{}, &LoadError{o.File, fmt.Errorf("host name, which the configuration depends on: %w", err)}
	}
	return conf.Env{HostName: host, ConfigID: o.ConfigID, Random: random, Lookup: os.LookupEnv}, nil
}

// load is Load, and returns what it has read.
func load(o LoadOptions) (*failover.Config, []conf.Diagnostic, *files, error) {
	src := newFiles()
	if _, err := src.Read(o.File); err != nil {
		return nil, nil, nil, &LoadError{o.File, reason(err)}
	}
	env, err := environment(&o)
	if err != nil {
		return nil, nil, nil, err
	}
	cfg, diagnostics := conf.Parse(o.File, src, env, conf.Options{Lenient: !o.Strict})
	if cfg != nil {
		diagnostics = append(diagnostics, src.exposed(cfg)...)
		diagnostics = append(diagnostics, src.namespace(cfg)...)
		diagnostics = append(diagnostics, runnable(cfg, o.Strict)...)
		diagnostics = append(diagnostics, authorities(cfg)...)
		if empty(cfg) {
			diagnostics = append(diagnostics, conf.Diagnostic{
				Pos: conf.Pos{File: o.File}, Severity: conf.Warning,
				Message: "nothing to do: no vrrp_instance, anycast_service or witness_server; a reload that would leave nothing of what runs is refused",
			})
		}
	}
	if conf.HasErrors(diagnostics) {
		cfg = nil
	}
	return cfg, diagnostics, src, nil
}

// runnable says which commands cannot run on this host as they stand. A check that cannot run counts as failed, so that
// nothing is unsafe about it; but it is hardly what was meant, so where nothing is lost by refusing, it is an error.
func runnable(cfg *failover.Config, strict bool) []conf.Diagnostic {
	var found []conf.Diagnostic
	policy := scriptPolicy(cfg)
	errs := checkCommands(cfg.Uses, func(c failover.Command) error { return script.Check(c, policy) }, checkPatience)
	for i := range cfg.Uses {
		u := &cfg.Uses[i]
		err := errs[commandKey(&u.Command)]
		if err == nil {
			continue
		}
		d := conf.Diagnostic{
			Pos: conf.Pos{File: u.File, Line: u.Line, Column: u.Column}, Severity: conf.Warning,
			Message: fmt.Sprintf("%s cannot run: %v", u.What, err),
		}
		switch {
		case u.Check && strict:
			d.Severity = conf.Error
			d.Message += "; it would count as failed"
		case u.Check:
			d.Message += "; it counts as failed"
		}
		found = append(found, d)
	}
	sort.Slice(found, func(i, j int) bool {
		a, b := &found[i].Pos, &found[j].Pos
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column)) < 0
	})
	return found
}

// NamespaceFile returns where the network namespace of that name is.
func NamespaceFile(name string) string { return filepath.Join("/run/netns", name) }

// namespaceStatement is the keyword at the start of a line.
var namespaceStatement = regexp.MustCompile(`(?m)^[ \t]*(net_namespace)[ \t]`)

// namespace complains about a network namespace that does not exist.
func (s *files) namespace(cfg *failover.Config) []conf.Diagnostic {
	name := cfg.Process.NetNamespace
	if name == "" {
		return nil
	}
	_, err := os.Stat(NamespaceFile(name))
	if err == nil {
		return nil
	}
	d := conf.Diagnostic{
		Pos: conf.Pos{File: s.order[0]}, Severity: conf.Error,
		Message: fmt.Sprintf("net_namespace %s: %v; ip netns add %s makes one", name, reason(err), name),
	}
	for _, file := range s.order {
		if m := namespaceStatement.FindSubmatchIndex(s.read[file].content); m != nil {
			before := s.read[file].content[:m[2]]
			d.Pos = conf.Pos{File: file, Line: bytes.Count(before, []byte{'\n'}) + 1, Column: m[2] - bytes.LastIndexByte(before, '\n')}
			break
		}
	}
	return []conf.Diagnostic{d}
}

// reason is an error without the name of the file, which the text around it has already.
func reason(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

func random(n uint64) uint64 {
	if n == 0 {
		return 0
	}
	return rand.Uint64N(n)
}

// files is the conf.Source of the operating system. It remembers what it read, so that a file has one content throughout.
type files struct {
	read  map[string]fileRead
	order []string
	globs map[string][]string
}

func newFiles() *files {
	return &files{read: make(map[string]fileRead), globs: make(map[string][]string)}
}

// fileRead is the outcome of reading a file.
type fileRead struct {
	content []byte
	mode    fs.FileMode
	err     error
}

// Read implements conf.Source. Only regular files are read; a symbolic link to one is as good.
func (s *files) Read(name string) ([]byte, error) {
	r, ok := s.read[name]
	if !ok {
		r.content, r.mode, r.err = readRegular(name)
		s.read[name] = r
		s.order = append(s.order, name)
	}
	return r.content, r.err
}

// Mode implements conf.Modes.
func (s *files) Mode(name string) (fs.FileMode, bool) {
	r, ok := s.read[name]
	return r.mode, ok && r.err == nil
}

// readRegular never blocks: a FIFO that nobody writes to must not keep the agent from starting.
func readRegular(name string) ([]byte, fs.FileMode, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	switch {
	case info.IsDir():
		return nil, 0, &fs.PathError{Op: "read", Path: name, Err: errors.New("is a directory")}
	case !info.Mode().IsRegular():
		return nil, 0, &fs.PathError{Op: "read", Path: name, Err: errors.New("is not a regular file")}
	}
	content, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(content) > maxFile {
		err = &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("is larger than %d MB", maxFile>>20)}
	}
	if err != nil {
		return nil, 0, err
	}
	return content, info.Mode(), nil
}

// Glob implements conf.Source: regular files that are not executable, as keepalived does it.
func (s *files) Glob(pattern string) ([]string, error) {
	matches, err := filepath.Glob(pattern)
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", pattern, err)
	}
	var names []string
	for _, m := range matches {
		info, err := os.Stat(m)
		if err == nil && (!info.Mode().IsRegular() || info.Mode()&0o111 != 0) {
			continue
		}
		names = append(names, m) // one that cannot be looked at is for Read to complain about
	}
	s.globs[pattern] = names
	return names, nil
}

// exposed warns about the files that hold a password of a BGP session and that everybody may read. (A VRRP password is
// readable by everybody on the wire, so its file may be, too.)
func (s *files) exposed(cfg *failover.Config) []conf.Diagnostic {
	var warnings []conf.Diagnostic
	for _, name := range s.order {
		r := s.read[name]
		if r.err != nil || r.mode&0o004 == 0 {
			continue
		}
		pos, found := findPassword(name, string(r.content), cfg)
		if !found {
			continue
		}
		warnings = append(warnings, conf.Diagnostic{
			Pos: pos, Severity: conf.Warning,
			Message: fmt.Sprintf("holds a BGP password and everybody may read it (mode %04o); chmod o-r helps", r.mode.Perm()),
		})
	}
	return warnings
}

// findPassword looks for a password in a file. The place is that of the first statement that gives one; it is the file as
// a whole where there is no such statement, as in a password_file or where a variable is defined.
func findPassword(name, content string, cfg *failover.Config) (at conf.Pos, found bool) {
	at.File = name
	var passwords []string
	for i := range cfg.Speakers {
		for j := range cfg.Speakers[i].Neighbors {
			if p := cfg.Speakers[i].Neighbors[j].Password; p != "" && strings.Contains(content, p) {
				passwords = append(passwords, p)
			}
		}
	}
	if len(passwords) == 0 {
		return at, false
	}
	number := 0
	for line := range strings.Lines(content) {
		number++
		if column := statementColumn(line, passwords); column > 0 {
			at.Line, at.Column = number, column
			break
		}
	}
	return at, true
}

// passwordStatement is the keyword at the start of a line, or behind a blank or a brace, and what follows it.
var passwordStatement = regexp.MustCompile(`(?:^|[\s{])password[ \t]+(.*)`)

// statementColumn returns where a line has a statement that gives one of the passwords, counting octets from 1; 0:
// nowhere.
func statementColumn(line string, passwords []string) int {
	m := passwordStatement.FindStringSubmatchIndex(line)
	if m == nil || strings.ContainsAny(line[:m[0]], "#!") {
		return 0
	}
	value := line[m[2]:m[3]]
	for _, p := range passwords {
		if strings.HasPrefix(strings.TrimPrefix(value, `"`), p) {
			return m[0] + strings.Index(line[m[0]:], "password") + 1
		}
	}
	return 0
}
