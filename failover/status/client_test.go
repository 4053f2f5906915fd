package status

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestClientWithoutAgent(t *testing.T) {
	dir := t.TempDir()
	stale := filepath.Join(dir, "stale")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	for name, c := range map[string]struct{ path, want string }{
		"no such file":   {filepath.Join(dir, "none"), "does not exist; is failoverd started"},
		"stale socket":   {stale, "left by an agent that died"},
		"not below file": {filepath.Join(stale, "x"), "ask the agent on"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Dial(c.path).Status(t.Context())
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.path) {
				t.Errorf("error %v, want %q and the path", err, c.want)
			}
			if strings.Contains(c.want, "ask") == errors.Is(err, ErrNotRunning) {
				t.Errorf("error %v: ErrNotRunning is %v", err, errors.Is(err, ErrNotRunning))
			}
		})
	}
}

func TestClientWithoutPermission(t *testing.T) {
	err := Dial("/run/x").explain(&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EACCES)})
	if !strings.Contains(err.Error(), "permission denied; root and the socket's group may") {
		t.Errorf("error %v", err)
	}
}

func TestClientErrors(t *testing.T) {
	src := &fakeSource{}
	src.snapshot.Store(sample())
	c := Dial(serve(t, src))
	_, err := c.StatusJSON(t.Context(), "nobody")
	var a *AnswerError
	if !errors.As(err, &a) || a.Code != 404 || err.Error() != `no virtual router "nobody"; there are: WEB, a/b:c` {
		t.Errorf("unknown router: %v", err)
	}
	b, err := c.StatusJSON(t.Context(), "a/b:c")
	if err != nil || !strings.Contains(string(b), `"name": "a/b:c"`) {
		t.Errorf("router with a slash: %s, %v", b, err)
	}
}

// What answers on the socket need not be an agent.
func TestClientAndStrangers(t *testing.T) {
	for name, c := range map[string]struct{ answer, want string }{
		"closes":        {"", "ask the agent on"},
		"not HTTP":      {"220 mail ready\r\n", "ask the agent on"},
		"plain error":   {"HTTP/1.1 400 Bad Request\r\n\r\noh no", `answered 400 Bad Request: "oh no"`},
		"not JSON":      {"HTTP/1.1 200 OK\r\n\r\nhello", "of another version?"},
		"wrong type":    {"HTTP/1.1 200 OK\r\n\r\n[1]", "of another version?"},
		"short answer":  {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx", "unexpected EOF"},
		"endless field": {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", 1<<20), "ask the agent on"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s")
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				io.ReadFull(conn, make([]byte, 16))
				io.WriteString(conn, c.answer)
				conn.(*net.UnixConn).CloseWrite()
				io.Copy(io.Discard, conn)
			}()
			if _, err := Dial(path).Status(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}
