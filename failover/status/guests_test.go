package status

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// crowd opens connections that send text and then nothing more.
func crowd(t *testing.T, path string, n int, text string) {
	t.Helper()
	for range n {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.Write([]byte(text)) // may fail: it is sent away for the next
	}
}

// Clients that keep a connection and want nothing lock nobody out, whatever they have sent.
func TestIdleClientsLockNobodyOut(t *testing.T) {
	for name, text := range map[string]string{
		"nothing sent":       "",
		"half a head":        "GET /v1/stat",
		"half a body":        "POST /v1/drain HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\n\r\n{",
		"half a plan":        "POST /v1/plan HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\n\r\n{",
		"answered, and kept": "GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n",
		"answer not read":    "GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			long, _ := json.Marshal(strings.Repeat("x", 400<<10)) // more than a socket holds
			src := &fakeSource{events: []json.RawMessage{long}}
			src.snapshot.Store(sample())
			path := serve(t, src)
			for range 2 {
				crowd(t, path, maxConnections+6, text)
				for range 10 {
					// Without the patience of a person: a busy machine is not what this is about.
					if _, err := Dial(path).do(t.Context(), http.MethodGet, statusPath, nil); err != nil {
						t.Fatalf("locked out: %v", err)
					}
				}
			}
		})
	}
}

// Those who wait for the agent's answer keep their place: when all do, one too many is told so.
func TestTooManyConnections(t *testing.T) {
	entered, release := make(chan struct{}, maxConnections), make(chan struct{})
	src := &fakeSource{command: func(*Command) (*CommandAnswer, error) {
		entered <- struct{}{}
		<-release
		return new(CommandAnswer), nil
	}}
	src.snapshot.Store(sample())
	path := serve(t, src)
	var all sync.WaitGroup
	for range maxConnections {
		all.Go(func() {
			if _, err := Dial(path).Command(t.Context(), Drain, new(CommandRequest)); err != nil {
				t.Errorf("a command under way: %v", err)
			}
		})
	}
	for range maxConnections {
		<-entered
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got, err := io.ReadAll(c)
	if err != nil || !bytes.HasPrefix(got, []byte("HTTP/1.1 503 ")) || !bytes.HasSuffix(got, []byte(`{"error":"too many connections"}`+"\n")) {
		t.Errorf("one too many got %q, %v", got, err)
	}
	close(release)
	all.Wait()
	for deadline := time.Now().Add(20 * time.Second); ; {
		_, err := Dial(path).Status(t.Context())
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("still no place after the others left: %v", err)
		}
	}
}

// A user who opens connection after connection sends away his own, not those of others.
func TestEachUserPaysForHimself(t *testing.T) {
	g := newGuests(nil, 4)
	add := func(uid int64) *guest {
		near, far := net.Pipe()
		t.Cleanup(func() { near.Close(); far.Close() })
		in := g.admit(near)
		if in != nil {
			g.mu.Lock()
			in.uid = uid
			g.mu.Unlock()
		}
		return in
	}
	gone := func(c *guest) bool {
		select {
		case <-c.left:
			return true
		default:
			return false
		}
	}
	root, first, second, third := add(0), add(7), add(7), add(7)
	first.mark(true)
	fourth := add(7)
	if gone(root) || gone(first) || !gone(second) || gone(third) || fourth == nil {
		t.Errorf("gone: root's %v, the one that is owed an answer %v, the oldest other %v, the youngest %v",
			gone(root), gone(first), gone(second), gone(third))
	}
	first.mark(false)
	third.mark(false)
	add(0)
	if gone(root) || gone(first) || gone(third) || !gone(fourth) {
		t.Error("the turn of each is not that of its last change")
	}
	second.mark(true) // it has no place any more
	if second.Close(); len(g.open) != 4 {
		t.Errorf("%d have a place, want 4", len(g.open))
	}
}

// A body that is much too long gets an answer, also for a client that writes all of it before it reads.
func TestBigBodyIsAnswered(t *testing.T) {
	src := &fakeSource{}
	src.snapshot.Store(sample())
	path := serve(t, src)
	for _, c := range []struct {
		path   string
		octets int
		want   string
	}{
		{reloadPath, 4 << 20, "/v1/reload: request body: at most 4096 octets"},
		{statusPath, 4 << 20, "/v1/status: request body: at most 4096 octets"},
		{"/v1/drain", 4 << 20, "/v1/drain: request body: at most 4096 octets"},
		{planPath, 20 << 20, "/v1/plan: request body: at most 16777216 octets"},
	} {
		t.Run(c.path, func(t *testing.T) {
			conn, err := net.Dial("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(20 * time.Second))
			req, err := http.NewRequest(http.MethodPost, "http://x"+c.path, bytes.NewReader(make([]byte, c.octets)))
			if err != nil {
				t.Fatal(err)
			}
			if err := req.Write(conn); err != nil {
				t.Fatalf("write: %v", err)
			}
			resp, err := http.ReadResponse(bufio.NewReader(conn), req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if b, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(string(b), c.want) {
				t.Errorf("got %d %s, %v; want 413 with %s", resp.StatusCode, b, err, c.want)
			}
		})
	}
}

// A body without end is cut off, and its client still gets the answer if it reads while it writes.
func TestEndlessBody(t *testing.T) {
	src := &fakeSource{}
	src.snapshot.Store(sample())
	path := serve(t, src)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err := Dial(path).do(ctx, http.MethodPost, reloadPath, endless{})
	if e := new(AnswerError); !errors.As(err, &e) || e.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("got %v, want 413", err)
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(conn, "POST /v1/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
	if _, err := io.Copy(conn, endless{}); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("writing without end: %v; want the end of the connection", err)
	}
}

// endless is a text without end.
type endless struct{}

func (endless) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
