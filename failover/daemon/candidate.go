package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/bgp/speaker"
	"failoverd/failover/status"
	"failoverd/failover/supervisor"
)

// Introduction is what a program says of itself when another one asks (failoverd handover-version): a line of JSON.
type Introduction struct {
	Program string         `json:"program"` // failoverd
	Version string         `json:"version"`
	Formats map[string]int `json:"formats"` // as supervisor.Formats
	// Abilities are what it can do with more than the formats say; a program without one of them can take over all the same.
	Abilities []string `json:"abilities,omitempty"`
}

// beginsWithText is the ability to begin with the text of a configuration that the program before has left (Sources).
const beginsWithText = "configuration"

// Introduce returns that of this program.
func Introduce(version string) Introduction {
	return Introduction{Program: programName, Version: version, Formats: supervisor.Formats, Abilities: []string{beginsWithText}}
}

const (
	programName = "failoverd"
	// candidateTime is how long a program may take to answer, and candidateOutput how much it may say.
	candidateTime   = 10 * time.Second
	candidateOutput = 64 << 10
)

// candidate is a program that is to take the place of this one.
type candidate struct {
	path string
	file *os.File            // what was examined, and is executed, whatever path means by then; not to be read
	same bool                // it is this one
	text *status.PlanRequest // what it begins with; nil: the configuration file
	Introduction
}

// close lets go of the file.
func (c *candidate) close() { _ = c.file.Close() }

// examine opens what is at path and says what it is, without running it. Whoever could have put a program of his own there
// would have the rights of the agent: nobody but root and the agent's own user must be able to write the file or to
// replace it.
func examine(path string) (*candidate, error) {
	if !filepath.IsAbs(path) {
		return nil, fmt.Errorf("%q is not an absolute path", path)
	}
	if err := guarded(filepath.Clean(path)); err != nil {
		return nil, err
	}
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	c := &candidate{path: path, file: os.NewFile(uintptr(fd), path)}
	st, err := c.file.Stat()
	if err == nil {
		err = trusted(path, st)
	}
	if err != nil {
		c.close()
		return nil, err
	}
	if c.script() {
		c.close()
		return nil, fmt.Errorf("%s is a script, which would be read anew each time: name the program itself", path)
	}
	self, err := os.Stat("/proc/self/exe")
	c.same = err == nil && os.SameFile(st, self)
	return c, nil
}

// script reports whether the file names its interpreter. One that may be executed and not read is none.
func (c *candidate) script() bool {
	f, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", c.file.Fd()))
	if err != nil {
		return false
	}
	defer f.Close()
	begin := make([]byte, 2)
	_, err = io.ReadFull(f, begin)
	return err == nil && string(begin) == "#!"
}

// trusted says why a file is not to be run.
func trusted(path string, st fs.FileInfo) error {
	switch {
	case !st.Mode().IsRegular():
		return fmt.Errorf("%s is not a file", path)
	case st.Mode()&0o111 == 0:
		return fmt.Errorf("%s is not executable", path)
	case st.Mode()&0o022 != 0:
		return fmt.Errorf("%s may be written by others than its owner", path)
	}
	return owned(path, st)
}

func owned(path string, st fs.FileInfo) error {
	if owner := st.Sys().(*syscall.Stat_t).Uid; owner != 0 && int(owner) != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d, want root or the agent's own", path, owner)
	}
	return nil
}

// guarded says in which of the directories that path leads through others may replace what it leads to. In one with the
// sticky bit nobody can take away what is somebody else's.
func guarded(path string) error {
	if real, err := filepath.EvalSymlinks(path); err != nil {
		return err
	} else if real != path {
		if err := guarded(real); err != nil {
			return err
		}
	}
	var open openPlaces
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		st, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if err := owned(dir, st); err != nil {
			return err
		}
		open.look(dir, st)
		if dir == "/" {
			return open.err()
		}
	}
}

// openPlaces are the directories on the way to a program in which others may replace what leads to it. A group counts as
// others, whoever is in it: who its members are may be known to a directory server only, and a process may be in it that no
// list has. So do keepalived and sshd. It is the group staff of /usr/local on Debian that this is about.
type openPlaces struct{ described, dirs []string }

func (o *openPlaces) look(dir string, st fs.FileInfo) {
	group := st.Sys().(*syscall.Stat_t).Gid
	others := st.Mode().Perm() & 0o022
	if group == 0 {
		others &= 0o002 // the group of root
	}
	if others != 0 && st.Mode()&fs.ModeSticky == 0 {
		o.described = append(o.described, fmt.Sprintf("%s (mode %04o, group %s)", dir, st.Mode().Perm(), groupName(group)))
		o.dirs = append(o.dirs, dir)
	}
}

// err names all of them, and says how to mend that; nil: there are none.
func (o *openPlaces) err() error {
	if len(o.dirs) == 0 {
		return nil
	}
	return fmt.Errorf("others may write to %s, and could replace the program: chmod go-w %s, or install it in another place and name that with --binary",
		strings.Join(o.described, " and "), strings.Join(o.dirs, " "))
}

// groupName returns the name of a group, or its number if it has none.
func groupName(gid uint32) string {
	number := strconv.FormatUint(uint64(gid), 10)
	if g, err := user.LookupGroupId(number); err == nil {
		return g.Name
	}
	return number
}

// introduce asks the program what it is.
func (c *candidate) introduce(ctx context.Context) error {
	out, err := c.output(ctx, "handover-version")
	if err == nil {
		err = json.Unmarshal(out, &c.Introduction)
	}
	if err == nil && c.Program != programName {
		err = fmt.Errorf("it says that it is %q", c.Program)
	}
	if err != nil {
		return fmt.Errorf("%s is not a failoverd that can take over: %w", c.path, err)
	}
	return nil
}

// mismatch says in what the program cannot understand this one; empty: it can.
func (c *candidate) mismatch() string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(supervisor.Formats)) {
		if mine, its := supervisor.Formats[name], c.Formats[name]; mine != its {
			list = append(list, fmt.Sprintf("%s (%d here, %d there)", name, mine, its))
		}
	}
	if len(list) == 0 {
		return ""
	}
	return fmt.Sprintf("version %s understands another %s", c.Version, strings.Join(list, ", "))
}

// configErrors is the exit status of failoverd check when the configuration has errors.
const configErrors = 5

// check has the program read the configuration file. One that it cannot use is an AnswerError of code 422.
func (c *candidate) check(ctx context.Context, file, configID string) error {
	args := []string{"check", "-f", file}
	if configID != "" {
		args = append(args, "-i", configID)
	}
	_, err := c.output(ctx, args...)
	var ended *exec.ExitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &ended) && ended.ExitCode() == configErrors:
		return &status.AnswerError{Code: http.StatusUnprocessableEntity, Text: fmt.Sprintf("version %s cannot use the configuration: %v", c.Version, err)}
	}
	return fmt.Errorf("version %s does not check the configuration: %w", c.Version, err)
}

// output runs the program, without the real-time priority of the agent, and returns what it writes to standard output. The
// error has the end of what it says elsewhere.
func (c *candidate) output(ctx context.Context, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, candidateTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/fd/3", args...) // the first of ExtraFiles
	cmd.Args[0], cmd.ExtraFiles = c.path, []*os.File{c.file}
	out, said := &bounded{most: candidateOutput}, &bounded{most: candidateOutput}
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = out, said, time.Second
	var unstarted *fs.PathError // of a descriptor
	err := speaker.StartOrdinary(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%s %s does not answer within %v", c.path, args[0], candidateTime)
	case errors.As(err, &unstarted):
		return nil, fmt.Errorf("execute %s: %w", c.path, unstarted.Err)
	case err != nil:
		text := strings.TrimSpace(said.String() + out.String())
		return nil, errors.Join(err, errors.New(text[:min(len(text), 1000)]))
	}
	return out.Bytes(), nil
}

// bounded keeps the beginning of what is written to it.
type bounded struct {
	bytes.Buffer
	most int
}

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	if room := b.most - b.Len(); room < len(p) {
		if room > 0 {
			b.Buffer.Write(p[:room])
		}
		return len(p), nil
	}
	return b.Buffer.Write(p)
}

var _ io.Writer = (*bounded)(nil)
