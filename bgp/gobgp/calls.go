package gobgp

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"

	api "github.com/osrg/gobgp/v3/api"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"

	"failoverd/bgp/call"
)

// urgent are the calls that traffic waits for: they go by package call, if the server has that. A call there and back through
// gRPC wakes a dozen goroutines of two processes one after the other.
var urgent = []string{"AddPath", "DeletePath"}

// startCalls connects for the urgent calls. The server has answered by now, so that its socket for them is there if it ever
// will be.
func (s *session) startCalls() {
	server, ok := strings.CutPrefix(s.target, "unix://")
	if s.opts.Calls == "" || !ok || s.calls != nil {
		return
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.opts.Timeout)
	defer cancel()
	calls, err := call.Dial(ctx, filepath.Join(filepath.Dir(server), s.opts.Calls))
	if err != nil {
		s.log.Debug("the BGP speaker takes no urgent calls: gRPC has to do", "err", err)
		return
	}
	s.calls = calls
	s.api = api.NewGobgpApiClient(&switchboard{ClientConnInterface: s.conn, calls: calls})
}

// endCalls ends what startCalls has begun.
func (s *session) endCalls() {
	if s.calls != nil {
		_ = s.calls.Close()
	}
}

// switchboard is a gRPC connection with another way for the urgent calls.
type switchboard struct {
	grpc.ClientConnInterface
	calls *call.Conn
}

// Invoke implements grpc.ClientConnInterface.
func (b *switchboard) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	for _, name := range urgent {
		if strings.HasSuffix(method, "/"+name) {
			return b.calls.Invoke(ctx, method, args, reply, opts...)
		}
	}
	return b.ClientConnInterface.Invoke(ctx, method, args, reply, opts...)
}

// CallTaker is the part of an embedded gobgp server that takes the urgent calls; *server.BgpServer has it.
type CallTaker interface {
	AddPath(context.Context, *api.AddPathRequest) (*api.AddPathResponse, error)
	DeletePath(context.Context, *api.DeletePathRequest) error
}

// NewCallServer returns the server's side of the urgent calls. What is asked for passes the interceptors first.
func NewCallServer(log *slog.Logger, s CallTaker, interceptors ...grpc.UnaryServerInterceptor) *call.Server {
	return call.NewServer(log, &api.GobgpApi_ServiceDesc, &callService{taker: s}, urgent, interceptors...)
}

// callService does for the urgent calls what gobgp's own gRPC service does.
type callService struct {
	api.UnimplementedGobgpApiServer
	taker CallTaker
}

func (s *callService) AddPath(ctx context.Context, r *api.AddPathRequest) (*api.AddPathResponse, error) {
	return s.taker.AddPath(ctx, r)
}

func (s *callService) DeletePath(ctx context.Context, r *api.DeletePathRequest) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, s.taker.DeletePath(ctx, r)
}
