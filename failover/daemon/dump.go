package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"failoverd/failover"
	"failoverd/failover/status"
)

// Dump is one of the files that keepalived writes on a signal.
type Dump uint8

// Dumps, with keepalived's default files.
const (
	DumpData  Dump = iota // /tmp/keepalived.data
	DumpStats             // /tmp/keepalived.stats
	DumpJSON              // /tmp/keepalived.json
)

// dumps says how each is written, and where.
var dumps = [...]struct {
	file  string
	path  func(*failover.DumpFiles) string
	write func(io.Writer, *failover.Config, *failover.Snapshot) error
}{
	DumpData:  {"/tmp/keepalived.data", func(d *failover.DumpFiles) string { return d.Data }, status.DumpData},
	DumpStats: {"/tmp/keepalived.stats", func(d *failover.DumpFiles) string { return d.Stats }, status.DumpStats},
	DumpJSON:  {"/tmp/keepalived.json", func(d *failover.DumpFiles) string { return d.JSON }, status.DumpJSON},
}

// Dump writes the last published state into the file that the configuration names, readable by its owner only, and
// returns its name. The file appears whole or not at all, and nothing is written through a link that somebody has put
// into a directory like /tmp. What is there and is not a regular file, such as /dev/null, is left alone: an error.
func (a *Agent) Dump(kind Dump) (path string, err error) {
	p := a.published.Load()
	if p == nil {
		return "", errors.New("the agent is starting and has no state to write yet")
	}
	how := &dumps[kind]
	if path = how.path(&p.cfg.Dump); path == "" {
		path = how.file
	}
	var b bytes.Buffer
	if err := how.write(&b, p.cfg, p.snapshot); err != nil {
		return path, fmt.Errorf("dump: %w", err)
	}
	if err := replaceFile(path, b.Bytes()); err != nil {
		return path, fmt.Errorf("dump: %w", err)
	}
	return path, nil
}

// replaceFile gives a file another content at once, mode 0600.
func replaceFile(path string, content []byte) error {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s: is not a regular file", path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return err
}
