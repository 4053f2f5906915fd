package call

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// Conn is a connection with a Server, for the generated client of a service. Any goroutine may call; one waits for the other. The
// first call that does not come to its answer ends the connection, because the answer might still come.
type Conn struct {
	conn *net.UnixConn

	mu     sync.Mutex
	in     *bufio.Reader
	buf    []byte
	broken error // why there will be no answer any more
}

var _ grpc.ClientConnInterface = (*Conn)(nil)

// Dial connects to the socket at path.
func Dial(ctx context.Context, path string) (*Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	return newConn(conn.(*net.UnixConn)), nil
}

func newConn(conn *net.UnixConn) *Conn {
	return &Conn{conn: conn, in: bufio.NewReader(conn)}
}

// Invoke implements grpc.ClientConnInterface. It returns when the answer is there, or ctx ends. args and reply are protobuf
// messages. There are no call options.
func (c *Conn) Invoke(ctx context.Context, method string, args, reply any, _ ...grpc.CallOption) error {
	in, ok := args.(proto.Message)
	out, ok2 := reply.(proto.Message)
	if !ok || !ok2 {
		return status.Errorf(codes.Internal, "call %s: %T and %T are not both protobuf messages", method, args, reply)
	}
	body, err := proto.Marshal(in)
	if err != nil {
		return status.Errorf(codes.Internal, "call %s: %v", method, err)
	}
	frame, err := (&request{deadline: deadline(ctx), method: method, body: body}).appendTo(nil)
	if err != nil {
		return status.Errorf(codes.ResourceExhausted, "call: %v", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	a, err := c.exchange(ctx, frame)
	switch {
	case err != nil:
		return err
	case a.code != codes.OK:
		return status.Error(a.code, string(a.body))
	}
	if err := proto.Unmarshal(a.body, out); err != nil {
		return status.Errorf(codes.Internal, "call %s: %v", method, err)
	}
	return nil
}

// deadline is that of ctx by the clock of all processes; 0: it has none.
func deadline(ctx context.Context) int64 {
	at, ok := ctx.Deadline()
	if !ok {
		return 0
	}
	return max(monotonic()+int64(time.Until(at)), 1)
}

// exchange writes a frame and reads the answer, which is good until the next one. c.mu is held.
func (c *Conn) exchange(ctx context.Context, frame []byte) (answer, error) {
	if err := ctx.Err(); err != nil {
		return answer{}, status.FromContextError(err).Err()
	}
	if c.broken != nil {
		return answer{}, status.Errorf(codes.Unavailable, "call: the connection is broken: %v", c.broken)
	}
	past := time.Unix(1, 0)
	stop := context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(past) })
	a, err := c.roundTrip(frame)
	if !stop() { // from now on nothing can be read
		c.fail(ctx.Err())
	}
	switch {
	case err == nil:
		return a, nil
	case ctx.Err() != nil:
		c.fail(ctx.Err())
		return answer{}, status.FromContextError(ctx.Err()).Err()
	default:
		c.fail(err)
		return answer{}, status.Errorf(codes.Unavailable, "call: %v", err)
	}
}

func (c *Conn) roundTrip(frame []byte) (answer, error) {
	if _, err := c.conn.Write(frame); err != nil {
		return answer{}, err
	}
	b, err := readFrame(c.in, c.buf)
	if err != nil {
		return answer{}, fmt.Errorf("read answer: %w", err)
	}
	c.buf = b
	return parseAnswer(b)
}

// fail ends the connection for the first reason that there is. c.mu is held.
func (c *Conn) fail(why error) {
	if c.broken == nil {
		c.broken = why
		_ = c.conn.Close()
	}
}

// NewStream implements grpc.ClientConnInterface: there are no streams.
func (c *Conn) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, status.Error(codes.Unimplemented, "call: streams are gRPC's")
}

// Close ends the connection, and a call that waits for its answer.
func (c *Conn) Close() error { return c.conn.Close() }
