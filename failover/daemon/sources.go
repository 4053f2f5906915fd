package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"failoverd/conf"
	"failoverd/failover"
	"failoverd/failover/status"
)

// inheritedFile is where, in the state directory, the text of the configuration in force waits for a program that is to take over
// with it while the file says something else by now. Whoever reads it removes it.
const inheritedFile = "upgrade.json"

// Sources remember the text that the configuration in force came from, for a program that takes over and is to begin with the same.
// The zero value remembers nothing yet; a nil one never does. Any goroutine may use it.
type Sources struct {
	mu     sync.Mutex
	loaded source // the newest
	used   source // in force
}

type source struct {
	hash string
	text *status.PlanRequest
}

// Load is Load, and remembers what was read.
func (s *Sources) Load(o LoadOptions) (*failover.Config, []conf.Diagnostic, error) {
	cfg, diagnostics, src, err := load(o)
	if cfg != nil {
		s.note(cfg.Hash, src.gather(o.File))
	}
	return cfg, diagnostics, err
}

func (s *Sources) note(hash string, text *status.PlanRequest) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loaded = source{hash, text}
}

// use makes the configuration that was loaded last the one in force, if it is the one with that hash. The same text again is no
// other configuration.
func (s *Sources) use(hash string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loaded.hash == hash && s.used.hash != hash {
		s.used = s.loaded
	}
	s.loaded = source{}
}

// of returns the text of the configuration in force, if it is the one with that hash; nil: it is not known.
func (s *Sources) of(hash string) *status.PlanRequest {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used.hash != hash {
		return nil
	}
	return s.used.text
}

// LoadInherited loads what the program before has left in its state directory for the one that takes over, as at a start; found
// false: nothing, and the file is to be loaded. What it has left is gone afterwards.
func (s *Sources) LoadInherited(o LoadOptions, dir string) (cfg *failover.Config, diagnostics []conf.Diagnostic, found bool, err error) {
	q, err := takeInherited(filepath.Join(dir, inheritedFile), o.File)
	if err != nil {
		return nil, nil, true, &LoadError{o.File, fmt.Errorf("as the program before has left it: %w", err)}
	}
	if q == nil {
		return nil, nil, false, nil
	}
	env, err := environment(&o)
	if err != nil {
		return nil, nil, true, err
	}
	cfg, diagnostics = conf.Parse(q.File, newGathered(q), env, conf.Options{Lenient: true})
	if conf.HasErrors(diagnostics) {
		cfg = nil
	}
	if cfg != nil {
		s.note(cfg.Hash, q)
	}
	return cfg, diagnostics, true, nil
}

// takeInherited reads and removes the file at path; nil: there is none. It must be of this user, and nobody else's to read or
// write, because there are secrets in it.
func takeInherited(path, file string) (*status.PlanRequest, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	defer os.Remove(path)
	st, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !st.Mode().IsRegular() || st.Mode().Perm()&0o077 != 0 || int(st.Sys().(*syscall.Stat_t).Uid) != os.Geteuid():
		return nil, fmt.Errorf("%s is not a file of this user alone (%v)", path, st.Mode())
	}
	q := new(status.PlanRequest)
	if err := json.NewDecoder(io.LimitReader(f, 2*maxFile)).Decode(q); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if q.File != file {
		return nil, fmt.Errorf("%s is about the configuration %s", path, q.File)
	}
	return q, nil
}

// leaveInherited writes what takeInherited reads.
func leaveInherited(dir string, q *status.PlanRequest) error {
	path := filepath.Join(dir, inheritedFile)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if q == nil {
		return nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(json.NewEncoder(f).Encode(q), f.Close())
}

// gather returns all that was read, with file as the first one.
func (s *files) gather(file string) *status.PlanRequest {
	q := &status.PlanRequest{File: file, Globs: s.globs}
	for _, name := range s.order {
		r := s.read[name]
		f := status.PlanFile{Name: name, Content: r.content}
		if r.err != nil {
			f.Error = r.err.Error()
		}
		q.Files = append(q.Files, f)
	}
	return q
}
