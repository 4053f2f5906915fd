package call

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// text is the message of the tests' service.
type text = wrapperspb.StringValue

// echo is a service that does what it is told by the text.
type echo struct {
	mu    sync.Mutex
	heard []string
	hold  chan struct{} // "wait" ends with it
}

func (e *echo) say(_ context.Context, in *text) (*text, error) {
	e.mu.Lock()
	e.heard = append(e.heard, in.Value)
	e.mu.Unlock()
	switch in.Value {
	case "wait":
		<-e.hold
	case "refuse":
		return nil, status.Error(codes.FailedPrecondition, "not now")
	case "fail":
		return nil, errors.New("something else")
	case "much":
		return wrapperspb.String(strings.Repeat("x", maxFrame)), nil
	case "complain":
		return nil, errors.New(strings.Repeat("x", 2*maxFrame))
	}
	return wrapperspb.String(in.Value + "!"), nil
}

func (e *echo) all() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.heard)
}

const sayMethod = "/test.Echo/Say"

// echoDesc is what protoc would generate for it.
var echoDesc = grpc.ServiceDesc{ServiceName: "test.Echo", Methods: []grpc.MethodDesc{
	{MethodName: "Say", Handler: func(srv any, ctx context.Context, dec func(any) error, in grpc.UnaryServerInterceptor) (any, error) {
		m := new(text)
		if err := dec(m); err != nil {
			return nil, err
		}
		handler := func(ctx context.Context, req any) (any, error) { return srv.(*echo).say(ctx, req.(*text)) }
		if in == nil {
			return handler(ctx, m)
		}
		return in(ctx, m, &grpc.UnaryServerInfo{Server: srv, FullMethod: sayMethod}, handler)
	}},
	{MethodName: "Hidden"},
}}

// start serves echo until the test ends.
func start(t *testing.T, change func(*Server), interceptors ...grpc.UnaryServerInterceptor) (e *echo, path string, l *net.UnixListener) {
	t.Helper()
	dir, err := os.MkdirTemp("", "fo-call-") // a test's own directory may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path = filepath.Join(dir, SocketName)
	l, err = net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	e = &echo{hold: make(chan struct{})}
	s := NewServer(slog.New(slog.DiscardHandler), &echoDesc, e, []string{"Say"}, interceptors...)
	if change != nil {
		change(s)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		_ = l.Close()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return e, path, l
}

func dial(t *testing.T, path string) *Conn {
	t.Helper()
	c, err := Dial(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// say calls with a deadline that only a broken test reaches.
func say(t *testing.T, c *Conn, what string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var out text
	err := c.Invoke(ctx, sayMethod, wrapperspb.String(what), &out)
	return out.Value, err
}

// Every call has its own answer, in order, also those of several goroutines and after refusals.
func TestCalls(t *testing.T) {
	t.Parallel()
	_, path, _ := start(t, nil)
	c := dial(t, path)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 50 {
				what := fmt.Sprintf("%d of %d", i, g)
				if got, err := say(t, c, what); err != nil || got != what+"!" {
					t.Errorf("%s: %q, %v", what, got, err)
				}
			}
		})
	}
	wg.Wait()
	for _, row := range []struct {
		what string
		code codes.Code
		text string
	}{
		{"refuse", codes.FailedPrecondition, "not now"},
		{"fail", codes.Unknown, "something else"},
		{"much", codes.ResourceExhausted, "too long"},
		{"complain", codes.Unknown, "xxx"},
		{strings.Repeat("x", maxFrame), codes.ResourceExhausted, "too long"},
	} {
		_, err := say(t, c, row.what)
		if s := status.Convert(err); s.Code() != row.code || !strings.Contains(s.Message(), row.text) {
			t.Errorf("%.20s: %.80v, want %v", row.what, err, row.code)
		}
	}
	if got, err := say(t, c, "still"); err != nil || got != "still!" {
		t.Errorf("after refusals: %q, %v", got, err)
	}
}

// What is not on offer is not there: neither methods of the service that were not named, nor streams, nor other messages.
func TestNotOnOffer(t *testing.T) {
	t.Parallel()
	_, path, _ := start(t, nil)
	c := dial(t, path)
	ctx := context.Background()
	for _, method := range []string{"/test.Echo/Hidden", "/test.Other/Say", "Say", ""} {
		if err := c.Invoke(ctx, method, wrapperspb.String(""), new(text)); status.Code(err) != codes.Unimplemented {
			t.Errorf("%q: %v", method, err)
		}
	}
	if err := c.Invoke(ctx, "/"+strings.Repeat("x", 300), wrapperspb.String(""), new(text)); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a long name: %v", err)
	}
	if err := c.Invoke(ctx, sayMethod, "no message", new(text)); status.Code(err) != codes.Internal {
		t.Errorf("no message: %v", err)
	}
	if _, err := c.NewStream(ctx, &grpc.StreamDesc{}, sayMethod); status.Code(err) != codes.Unimplemented {
		t.Errorf("a stream: %v", err)
	}
	if got, err := say(t, c, "still"); err != nil || got != "still!" {
		t.Errorf("afterwards: %q, %v", got, err)
	}
}

// Interceptors see every request, the first one first, and can refuse it.
func TestInterceptors(t *testing.T) {
	t.Parallel()
	var order []string
	note := func(name string) grpc.UnaryServerInterceptor {
		return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			order = append(order, name+" "+info.FullMethod)
			if req.(*text).Value == name {
				return nil, status.Error(codes.PermissionDenied, name)
			}
			return next(ctx, req)
		}
	}
	e, path, _ := start(t, nil, note("a"), note("b"), note("c"))
	c := dial(t, path)
	if _, err := say(t, c, "b"); status.Code(err) != codes.PermissionDenied {
		t.Errorf("refused: %v", err)
	}
	if got, err := say(t, c, "x"); err != nil || got != "x!" {
		t.Errorf("%q, %v", got, err)
	}
	want := []string{"a", "b", "a", "b", "c"}
	for i := range want {
		want[i] += " " + sayMethod
	}
	if !slices.Equal(order, want) || !slices.Equal(e.all(), []string{"x"}) {
		t.Errorf("order %q, heard %q", order, e.all())
	}
}

// A caller waits for as long as its context says. The connection is no use after that, because the answer may still come.
func TestDeadlineAndCancel(t *testing.T) {
	t.Parallel()
	e, path, _ := start(t, nil)
	t.Cleanup(func() { close(e.hold) })
	for want, end := range map[codes.Code]func(context.Context) (context.Context, context.CancelFunc){
		codes.DeadlineExceeded: func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 50*time.Millisecond)
		},
		codes.Canceled: func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(50*time.Millisecond, cancel)
			return ctx, cancel
		},
	} {
		c := dial(t, path)
		ctx, cancel := end(context.Background())
		defer cancel()
		if err := c.Invoke(ctx, sayMethod, wrapperspb.String("wait"), new(text)); status.Code(err) != want {
			t.Errorf("%v, want %v", err, want)
		}
		if _, err := say(t, c, "x"); status.Code(err) != codes.Unavailable {
			t.Errorf("after %v: %v", want, err)
		}
		if err := c.Invoke(ctx, sayMethod, wrapperspb.String("x"), new(text)); status.Code(err) != want {
			t.Errorf("a context that has ended: %v, want %v", err, want)
		}
	}
	if got, err := say(t, dial(t, path), "x"); err != nil || got != "x!" {
		t.Errorf("another connection: %q, %v", got, err)
	}
}

// A request that was not read in time - the server was frozen - is not carried out.
func TestReadAfterDeadline(t *testing.T) {
	t.Parallel()
	e, path, _ := start(t, nil)
	c := dial(t, path)
	for _, row := range []struct {
		deadline int64
		want     codes.Code
	}{{1, codes.DeadlineExceeded}, {monotonic() - 1, codes.DeadlineExceeded}, {monotonic() + int64(time.Minute), codes.OK}, {0, codes.OK}} {
		frame, err := (&request{deadline: row.deadline, method: sayMethod, body: []byte("\n\x01x")}).appendTo(nil)
		if err != nil {
			t.Fatal(err)
		}
		if a, err := c.roundTrip(frame); err != nil || a.code != row.want {
			t.Errorf("deadline %d: %v %s, %v; want %v", row.deadline, a.code, a.body, err, row.want)
		}
	}
	if n := len(e.all()); n != 2 {
		t.Errorf("%d requests were carried out, want 2", n)
	}
}

// A server that goes away, before a call or during one, makes it Unavailable.
func TestServerGone(t *testing.T) {
	t.Parallel()
	here, there, err := pair()
	if err != nil {
		t.Fatal(err)
	}
	c := newConn(here)
	go func() {
		_, _ = there.Read(make([]byte, 100))
		_ = there.Close()
	}()
	if _, err := say(t, c, "x"); status.Code(err) != codes.Unavailable {
		t.Errorf("during the call: %v", err)
	}
	if _, err := say(t, c, "x"); status.Code(err) != codes.Unavailable {
		t.Errorf("after it: %v", err)
	}
	if _, err := Dial(context.Background(), filepath.Join(t.TempDir(), "nobody")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nobody there: %v", err)
	}
}

// An answer that is none ends the connection.
func TestAnswersThatAreNone(t *testing.T) {
	t.Parallel()
	for name, b := range map[string]string{
		"too long": "\xff\xff\xff\xff", "half": "\x00\x00\x00\x08\x00\x00", "without a code": "\x00\x00\x00\x02\x00\x00", "no message": "\x00\x00\x00\x05\x00\x00\x00\x00\xff",
	} {
		here, there, err := pair()
		if err != nil {
			t.Fatal(err)
		}
		c := newConn(here)
		go func() {
			_, _ = there.Read(make([]byte, 100))
			_, _ = there.Write([]byte(b))
			_ = there.Close()
		}()
		if _, err := say(t, c, "x"); status.Code(err) != codes.Unavailable && status.Code(err) != codes.Internal {
			t.Errorf("%s: %v", name, err)
		}
		_ = c.Close()
	}
}

// pair is two ends of one connection.
func pair() (here, there *net.UnixConn, err error) {
	dir, err := os.MkdirTemp("", "fo-call-")
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(dir)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "s")})
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	if here, err = net.DialUnix("unix", nil, l.Addr().(*net.UnixAddr)); err != nil {
		return nil, nil, err
	}
	there, err = l.AcceptUnix()
	return here, there, err
}

// Nobody but root and the server's own user may ask, and only so many at once.
func TestWhoMayAsk(t *testing.T) {
	t.Parallel()
	if !ours(0) || !ours(uint32(os.Geteuid())) || ours(uint32(os.Geteuid())+1) {
		t.Error("ours")
	}
	var asked []uint32
	_, path, _ := start(t, func(s *Server) {
		s.may = func(uid uint32) bool {
			asked = append(asked, uid)
			return false
		}
	})
	if _, err := say(t, dial(t, path), "x"); status.Code(err) != codes.Unavailable {
		t.Errorf("a stranger: %v", err)
	}
	if !slices.Equal(asked, []uint32{uint32(os.Getuid())}) {
		t.Errorf("asked about %v", asked)
	}

	_, path, _ = start(t, nil)
	var all []*Conn
	for range maxConns {
		c := dial(t, path)
		if _, err := say(t, c, "x"); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	if _, err := say(t, dial(t, path), "x"); status.Code(err) != codes.Unavailable {
		t.Errorf("one too many: %v", err)
	}
	_ = all[0].Close()
	for begin := time.Now(); ; time.Sleep(time.Millisecond) {
		if _, err := say(t, dial(t, path), "x"); err == nil {
			break
		} else if time.Since(begin) > 10*time.Second {
			t.Fatalf("after one has gone: %v", err)
		}
	}
}

// A server is made for methods that exist.
func TestNewServerPanics(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	NewServer(nil, &echoDesc, nil, []string{"Say", "Nothing"})
}
