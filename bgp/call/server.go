package call

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// maxConns is how many clients are served at once: there is one, and those that it has given up because of a call that takes
// for ever.
const maxConns = 8

// Server carries requests out.
type Server struct {
	service   any
	methods   map[string]grpc.MethodHandler
	intercept grpc.UnaryServerInterceptor // nil: nobody
	log       *slog.Logger
	may       func(uid uint32) bool
	conns     chan struct{}
}

// NewServer returns a server for the methods of a service that are named, and no others. What they are asked for passes the
// interceptors first, from the first to the last. It panics when desc has no such method, or service does not have them.
func NewServer(log *slog.Logger, desc *grpc.ServiceDesc, service any, methods []string, interceptors ...grpc.UnaryServerInterceptor) *Server {
	s := &Server{
		service: service, methods: map[string]grpc.MethodHandler{}, intercept: chain(interceptors), log: log,
		may: ours, conns: make(chan struct{}, maxConns),
	}
	for _, m := range desc.Methods {
		for _, name := range methods {
			if m.MethodName == name {
				s.methods["/"+desc.ServiceName+"/"+name] = m.Handler
			}
		}
	}
	if len(s.methods) != len(methods) {
		panic(fmt.Sprintf("call: %s has not got all of %q", desc.ServiceName, methods))
	}
	return s
}

// chain makes one interceptor of several.
func chain(interceptors []grpc.UnaryServerInterceptor) grpc.UnaryServerInterceptor {
	if len(interceptors) == 0 {
		return nil
	}
	first, rest := interceptors[0], chain(interceptors[1:])
	if rest == nil {
		return first
	}
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		return first(ctx, req, info, func(ctx context.Context, req any) (any, error) {
			return rest(ctx, req, info, handler)
		})
	}
}

// ours reports whether a process of that user may ask: who may not, cannot enter the directory of the socket either.
func ours(uid uint32) bool { return uid == 0 || uid == uint32(os.Geteuid()) }

// Serve takes connections until l is closed, and then returns nil. The connections that there are then go on.
func (s *Server) Serve(l *net.UnixListener) error {
	for {
		conn, err := l.AcceptUnix()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			s.log.Warn("take a connection for calls", "err", err) // there may be descriptors again later
			time.Sleep(100 * time.Millisecond)
			continue
		}
		if err := s.admit(conn); err != nil {
			s.log.Warn("connection for calls refused", "err", err)
			_ = conn.Close()
			continue
		}
		go func() {
			defer func() { <-s.conns }()
			defer conn.Close()
			if err := s.serve(conn); !errors.Is(err, io.EOF) {
				s.log.Debug("connection for calls", "err", err)
			}
		}()
	}
}

// admit takes a place for a connection.
func (s *Server) admit(conn *net.UnixConn) error {
	uid, err := peerUID(conn)
	if err != nil {
		return err
	}
	if !s.may(uid) {
		return fmt.Errorf("user %d may not ask", uid)
	}
	select {
	case s.conns <- struct{}{}:
		return nil
	default:
		return fmt.Errorf("there are %d", maxConns)
	}
}

// peerUID returns the user who connected, as the kernel says it (SO_PEERCRED).
func peerUID(conn *net.UnixConn) (uint32, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	if e := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); e != nil {
		err = e
	}
	if err != nil {
		return 0, fmt.Errorf("who connected: %w", err)
	}
	return cred.Uid, nil
}

// serve answers the requests of one connection until it ends.
func (s *Server) serve(conn io.ReadWriter) error {
	in := bufio.NewReader(conn)
	var buf, out []byte
	for {
		b, err := readFrame(in, buf)
		if err != nil {
			return err
		}
		buf = b
		r, err := parseRequest(b)
		if err != nil {
			return err
		}
		a := s.carryOut(&r)
		out, err = a.appendTo(out[:0])
		if err != nil {
			out, _ = (&answer{code: codes.ResourceExhausted, body: []byte(err.Error())}).appendTo(out[:0])
		}
		if _, err := conn.Write(out); err != nil {
			return err
		}
	}
}

// carryOut does what a request asks for.
func (s *Server) carryOut(r *request) answer {
	handler, ok := s.methods[r.method]
	switch {
	case !ok:
		return refusal(status.Errorf(codes.Unimplemented, "call: no method %.80q", r.method))
	case r.deadline != 0 && monotonic() >= r.deadline:
		return refusal(status.Error(codes.DeadlineExceeded, "call: read after its deadline"))
	}
	decode := func(m any) error {
		if err := proto.Unmarshal(r.body, m.(proto.Message)); err != nil {
			return status.Errorf(codes.InvalidArgument, "call %s: %v", r.method, err)
		}
		return nil
	}
	reply, err := handler(s.service, context.Background(), decode, s.intercept)
	if err != nil {
		return refusal(err)
	}
	body, err := proto.Marshal(reply.(proto.Message))
	if err != nil {
		return refusal(status.Errorf(codes.Internal, "call %s: %v", r.method, err))
	}
	return answer{code: codes.OK, body: body}
}

// refusal is an error as an answer: one that is not gRPC's is of an unknown kind, as with gRPC. A text that is too long for a
// frame is cut.
func refusal(err error) answer {
	s := status.Convert(err)
	text := s.Message()
	return answer{code: s.Code(), body: []byte(text[:min(len(text), maxFrame/2)])}
}
