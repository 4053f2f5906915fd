package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
)

// keeperVersion is that of the files of keepers.
const keeperVersion = 1

// keeper remembers one value over restarts: it writes it to a file, in a goroutine of its own, the newest only. A disk that
// hangs delays whoever waits for it, and nobody else.
type keeper struct {
	path string
	what string // is kept, in words
	log  *slog.Logger
	kick chan struct{} // holds one element while there is something to write

	mu      sync.Mutex
	text    []byte        // the newest
	wanted  uint64        // counts what was to be written
	written uint64        // the newest that was, or could not be because of err
	err     error         //
	news    chan struct{} // closed when written changes
}

// newKeeper keeps a value in the file name of dir; nowhere if dir is empty.
func newKeeper(dir, name, what string, log *slog.Logger) *keeper {
	k := &keeper{what: what, log: log, kick: make(chan struct{}, 1), news: make(chan struct{})}
	if dir != "" {
		k.path = filepath.Join(dir, name)
	}
	return k
}

// read decodes what was kept last into v, whose version is then at version, and reports whether there was anything. A file that
// makes no sense is put aside, and logged: somebody may have to say it again.
func (k *keeper) read(v any, version *int) bool {
	if k.path == "" {
		return false
	}
	b, err := os.ReadFile(k.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(b))
		d.DisallowUnknownFields()
		if err = d.Decode(v); err == nil && *version != keeperVersion {
			err = fmt.Errorf("version %d is not %d", *version, keeperVersion)
		}
	}
	if err != nil {
		aside := k.path + ".unreadable"
		k.log.Error("the "+k.what+" of the last run are lost", "file", k.path, "err", err, "kept_as", aside, "rename", os.Rename(k.path, aside))
		return false
	}
	return true
}

// put has v written.
func (k *keeper) put(v any) {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("daemon: encode %+v: %v", v, err))
	}
	k.mu.Lock()
	k.text = append(text, '\n')
	k.wanted++
	k.mu.Unlock()
	select {
	case k.kick <- struct{}{}:
	default:
	}
}

// run writes until ctx ends, and then what is left.
func (k *keeper) run(ctx context.Context) {
	for {
		select {
		case <-k.kick:
			k.write()
		case <-ctx.Done():
			k.write()
			return
		}
	}
}

// write writes the newest text, if it has not been written.
func (k *keeper) write() {
	k.mu.Lock()
	text, n, done := k.text, k.wanted, k.wanted == k.written
	k.mu.Unlock()
	if done {
		return
	}
	err := k.replace(text)
	if err != nil {
		k.log.Error(k.what+" are not remembered over a restart", "err", err)
	}
	k.mu.Lock()
	k.written, k.err = n, err
	close(k.news)
	k.news = make(chan struct{})
	k.mu.Unlock()
}

// replace makes text the content of the file: after a power cut it is the old one or the new one.
func (k *keeper) replace(text []byte) error {
	if k.path == "" {
		return errors.New("there is no directory to keep them in")
	}
	next := k.path + ".new"
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(next, k.path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(k.path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// settled waits until everything that was to be kept so far has been written, and returns why it was not.
func (k *keeper) settled(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for n := k.wanted; k.written < n; {
		news := k.news
		k.mu.Unlock()
		select {
		case <-news:
		case <-ctx.Done():
		}
		k.mu.Lock()
		if ctx.Err() != nil && k.written < n {
			return fmt.Errorf("write %s: %w", k.path, ctx.Err())
		}
	}
	return k.err
}
