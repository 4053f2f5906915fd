package supervisor

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"
)

// TestReadClosed: an agent whose end is known before its last messages are read is let go of, and nobody complains about that.
// What really cannot be read is told.
func TestReadClosed(t *testing.T) {
	for _, c := range []struct {
		name, says string
		file       func(t *testing.T) (f *os.File, spoil func())
	}{
		{"closed while a message is waited for", "", func(t *testing.T) (*os.File, func()) {
			ours, theirs, err := pair()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = theirs.Close() })
			return ours, func() { _ = ours.Close() }
		}},
		{"closed before", "", func(t *testing.T) (*os.File, func()) {
			ours, theirs, err := pair()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = theirs.Close() })
			_ = ours.Close()
			return ours, func() {}
		}},
		{"not a socket", "message of the agent not read", func(t *testing.T) (*os.File, func()) {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _, _ = r.Close(), w.Close() })
			return r, func() {}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var said bytes.Buffer
			f, spoil := c.file(t)
			messages := make(chan message)
			go read(f, os.Getpid(), slog.New(slog.NewTextHandler(&said, nil)), messages)
			time.Sleep(10 * time.Millisecond)
			spoil()
			for m := range messages {
				t.Errorf("message %c", m.kind)
			}
			if got := said.String(); (c.says == "") != (got == "") || !strings.Contains(got, c.says) {
				t.Errorf("the log: %q, want %q", got, c.says)
			}
		})
	}
}
