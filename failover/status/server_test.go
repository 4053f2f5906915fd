package status

import (
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestStatusAnswersSnapshotWithItsAge(t *testing.T) {
	src := &fakeSource{}
	shared := sample()
	shared.AgeSeconds = 0
	shared.TakenAt = time.Now().Add(-90 * time.Second)
	src.snapshot.Store(shared)
	got, err := Dial(serve(t, src)).Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got.AgeSeconds < 90 || got.AgeSeconds > 150 {
		t.Errorf("age %v s, want 90 and a little", got.AgeSeconds)
	}
	if shared.AgeSeconds != 0 {
		t.Error("the shared snapshot was changed")
	}
	got.AgeSeconds = 0
	opts := cmp.Options{cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}), cmpopts.EquateApproxTime(time.Microsecond)}
	if diff := cmp.Diff(shared, got, opts); diff != "" {
		t.Errorf("snapshot (-want +got):\n%s", diff)
	}
}

func TestAgeIsNeverNegative(t *testing.T) {
	src := &fakeSource{}
	s := sample()
	s.TakenAt = time.Now().Add(time.Hour).Round(0) // the wall clock was set back since
	src.snapshot.Store(s)
	got, err := Dial(serve(t, src)).Status(t.Context())
	if err != nil || got.AgeSeconds != 0 {
		t.Errorf("age %v, %v; want 0", got.AgeSeconds, err)
	}
}

func TestRequests(t *testing.T) {
	src := &fakeSource{}
	src.snapshot.Store(sample())
	path := serve(t, src)
	big := strings.Repeat("x", maxBodyBytes+1)
	for _, c := range []struct {
		name, method, url, body string
		code                    int
		want                    string // part of the answer
	}{
		{"status", "GET", "/v1/status", "", 200, `"router_id": "mainland-a"`},
		{"one router", "GET", "/v1/status/WEB", "", 200, `"key": "eth0/4/51"`},
		{"router with a slash in its name", "GET", "/v1/status/a%2Fb:c", "", 200, `"name": "a/b:c"`},
		{"the same, not escaped", "GET", "/v1/status/a/b:c", "", 200, `"name": "a/b:c"`},
		{"router by key", "GET", "/v1/status/eth1/6/7", "", 200, `"name": "a/b:c"`},
		{"unknown router", "GET", "/v1/status/WEBB", "", 404, `"error": "no virtual router \"WEBB\"",
  "known": [
    "WEB",
    "a/b:c"
  ]`},
		{"empty router name", "GET", "/v1/status/", "", 404, `no virtual router \"\"`},
		{"dots are a name like any other", "GET", "/v1/status/..", "", 404, `no virtual router \"..\"`},
		{"health of an agent that hangs", "GET", "/v1/healthz", "", 503, `"result": "stale"`},
		{"reload", "POST", "/v1/reload", "", 200, `"result": "reloaded"`},
		{"reload with a body", "POST", "/v1/reload", "{}", 200, `"result": "reloaded"`},
		{"reload by GET", "GET", "/v1/reload", "", 405, `"error": "/v1/reload: use POST"`},
		{"status by POST", "POST", "/v1/status", "", 405, `"error": "/v1/status: use GET"`},
		{"router by DELETE", "DELETE", "/v1/status/WEB", "", 405, `use GET`},
		{"made-up method", "BREW", "/v1/healthz", "", 405, `use GET`},
		{"root", "GET", "/", "", 404, `"error": "no such path \"/\": try /v1/status`},
		{"other version", "GET", "/v2/status", "", 404, `no such path`},
		{"double slash", "GET", "//v1/status", "", 404, `no such path`},
		{"body too large", "POST", "/v1/reload", big, 413, `at most 4096 octets`},
		{"body too large for GET", "GET", "/v1/status", big, 413, `at most 4096 octets`},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, header, body := request(t, path, c.method, c.url, strings.NewReader(c.body))
			if code != c.code || !strings.Contains(body, c.want) {
				t.Errorf("got %d %s\nwant %d with %s", code, body, c.code, c.want)
			}
			if got := header.Get("Content-Type"); got != "application/json" || !json.Valid([]byte(body)) {
				t.Errorf("answer is %q, valid JSON %v", got, json.Valid([]byte(body)))
			}
			if code == http.StatusMethodNotAllowed && header.Get("Allow") == "" {
				t.Error("405 without Allow")
			}
		})
	}
	if got := src.reloads.Load(); got != 2 {
		t.Errorf("%d reloads, want the two that were asked for in order", got)
	}
}

func TestHealth(t *testing.T) {
	src := &fakeSource{}
	s := sample()
	s.Agent.Stopping = true
	src.snapshot.Store(s)
	h := newHandler(src)
	for _, c := range []struct {
		name string
		age  time.Duration
		code int
		want answerHealth
	}{
		{"new", 0, 200, answerHealth{Result: "ok", Stopping: true}},
		{"as old as it may be", 5 * time.Second, 200, answerHealth{Result: "ok", AgeSeconds: 5, Stopping: true}},
		{"too old", 5*time.Second + time.Millisecond, 503, answerHealth{
			Result: "stale", AgeSeconds: 5.001, Stopping: true, Error: "the last state is 5.0 s old, more than 5s",
		}},
		{"an hour old", time.Hour, 503, answerHealth{
			Result: "stale", AgeSeconds: 3600, Stopping: true, Error: "the last state is 3600.0 s old, more than 5s",
		}},
		{"from the future", -time.Hour, 200, answerHealth{Result: "ok", Stopping: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h.now = func() time.Time { return s.TakenAt.Add(c.age) }
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest("GET", "/v1/healthz", nil))
			var got answerHealth
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != c.code || w.Header().Get("Content-Type") != "application/json" {
				t.Errorf("got %d %s, %v; want %d", w.Code, w.Body, err, c.code)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHeadOfStatus(t *testing.T) {
	src := &fakeSource{}
	src.snapshot.Store(sample())
	code, _, body := request(t, serve(t, src), "HEAD", "/v1/status", nil)
	if code != 200 || body != "" {
		t.Errorf("got %d %q, want 200 and nothing", code, body)
	}
}

func TestNoSnapshotYet(t *testing.T) {
	path := serve(t, &fakeSource{})
	for _, url := range []string{"/v1/status", "/v1/status/WEB", "/v1/healthz"} {
		if code, _, body := request(t, path, "GET", url, nil); code != 503 || !strings.Contains(body, "is starting") {
			t.Errorf("%s: got %d %s", url, code, body)
		}
	}
}

// The warnings of a new configuration reach whoever asked for it; an answer without any has no such field.
func TestReloadAnswersWarnings(t *testing.T) {
	src := &fakeSource{}
	path := serve(t, src)
	if _, _, body := request(t, path, "POST", "/v1/reload", nil); body != "{\n  \"result\": \"reloaded\"\n}\n" {
		t.Errorf("without warnings: %s", body)
	}
	src.warnings = []string{"f.conf:4:5: warning: odd word", "f.conf:7:5: warning: odd number"}
	got, err := Dial(path).Reload(t.Context())
	if err != nil || !slices.Equal(got, src.warnings) {
		t.Errorf("got %q, %v", got, err)
	}
	src.reload = func(context.Context) error { return errRefused }
	if got, err := Dial(path).Reload(t.Context()); err == nil || got != nil {
		t.Errorf("refused: got %q, %v", got, err)
	}
}

func TestRefusedReload(t *testing.T) {
	src := &fakeSource{reload: func(context.Context) error { return errRefused }}
	path := serve(t, src)
	code, _, body := request(t, path, "POST", "/v1/reload", nil)
	var got answerError
	if err := json.Unmarshal([]byte(body), &got); err != nil || code != 422 || got.Error != errRefused.Error() {
		t.Errorf("got %d %+v, %v; want 422 with the agent's text", code, got, err)
	}
}

// A reader is answered while a reload hangs, a second reload waits for the first, and a client that goes away does not
// cut a reload short.
func TestReadersDoNotWaitForReload(t *testing.T) {
	entered, release := make(chan struct{}, 2), make(chan struct{})
	src := &fakeSource{reload: func(ctx context.Context) error {
		entered <- struct{}{}
		<-release
		return ctx.Err()
	}}
	src.snapshot.Store(sample())
	path := serve(t, src)
	ctx, cancel := context.WithCancel(t.Context())
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { _, err := Dial(path).Reload(ctx); first <- err }()
	<-entered
	go func() { _, err := Dial(path).Reload(t.Context()); second <- err }()
	if _, err := Dial(path).Status(t.Context()); err != nil {
		t.Errorf("status during a reload: %v", err)
	}
	cancel()
	if err := <-first; err == nil {
		t.Error("cancelled client got an answer")
	}
	if got := src.reloads.Load(); got != 1 {
		t.Errorf("%d reloads at once, want 1", got)
	}
	close(release)
	if err := <-second; err != nil {
		t.Errorf("second reload: %v", err)
	}
}

func TestGarbageOnTheSocket(t *testing.T) {
	src := &fakeSource{}
	src.snapshot.Store(sample())
	path := serve(t, src)
	r := rand.New(rand.NewPCG(1, 2))
	random := make([]byte, 64<<10)
	for i := range random {
		random[i] = byte(r.Uint32())
	}
	for name, garbage := range map[string][]byte{
		"nothing":          nil,
		"random octets":    random,
		"half a request":   []byte("GET /v1/sta"),
		"no version":       []byte("GET /v1/status\r\n\r\n"),
		"bad escape":       []byte("GET /v1/status/%zz HTTP/1.1\r\nHost: x\r\n\r\n"),
		"endless header":   []byte("GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("a", 1<<20)),
		"negative length":  []byte("POST /v1/reload HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"),
		"enormous length":  []byte("POST /v1/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999\r\n\r\nx"),
		"bad chunk":        []byte("POST /v1/reload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
		"TLS hello":        {0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03},
		"HTTP/2 preface":   []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
		"connect":          []byte("CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n"),
		"asterisk":         []byte("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n"),
		"request, smuggle": []byte("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			c, err := net.Dial("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(20 * time.Second))
			c.Write(garbage) // may fail: the server does not read all of it
			c.(*net.UnixConn).CloseWrite()
			if _, err := io.Copy(io.Discard, c); os.IsTimeout(err) {
				t.Error("the server keeps the connection of a client that is done")
			}
		})
	}
	if _, err := Dial(path).Status(t.Context()); err != nil {
		t.Errorf("status after garbage: %v", err)
	}
	if got := src.reloads.Load(); got != 0 {
		t.Errorf("garbage caused %d reloads", got)
	}
}

func TestServeEndsWithContext(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	src := &fakeSource{reload: func(context.Context) error {
		close(entered)
		<-release
		return nil
	}}
	defer close(release)
	path := t.TempDir() + "/s"
	s, err := New(path, src, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	asked := make(chan error, 1)
	go func() { _, err := Dial(path).Reload(context.Background()); asked <- err }()
	<-entered
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if err := <-asked; err == nil {
		t.Error("a client of a stopped server was told that all is well")
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("socket file after Serve: %v", err)
	}
}

func TestServeAfterContextEnded(t *testing.T) {
	s, err := New(t.TempDir()+"/s", &fakeSource{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Serve(ctx); err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestAnswerThatCannotBeEncoded(t *testing.T) {
	s := sample()
	bad := 0.0
	bad /= bad // NaN
	s.Routers[0].SkewMS = bad
	src := &fakeSource{}
	src.snapshot.Store(s)
	if code, _, body := request(t, serve(t, src), "GET", "/v1/status", nil); code != 500 || !strings.Contains(body, "encode the answer") {
		t.Errorf("got %d %s", code, body)
	}
}
