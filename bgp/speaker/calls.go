package speaker

import (
	"log/slog"
	"net"
	"path/filepath"

	"github.com/osrg/gobgp/v3/pkg/server"
	"google.golang.org/grpc"

	"failoverd/bgp/call"
	"failoverd/bgp/gobgp"
)

// listenCalls opens the socket for urgent calls beside that for gobgp's gRPC API. Without it that one has to do.
func listenCalls(o *Options) *net.UnixListener {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: filepath.Join(filepath.Dir(o.Socket), call.SocketName)})
	if err != nil {
		o.Log.Warn("no socket for urgent calls: they go by gRPC", "err", err)
		return nil
	}
	return l
}

// serveCalls carries urgent calls out. They pass the same two guards as those by gRPC: the lease and the gate.
func serveCalls(l *net.UnixListener, s *server.BgpServer, log *slog.Logger, guards []grpc.UnaryServerInterceptor) {
	if err := gobgp.NewCallServer(log, s, guards...).Serve(l); err != nil {
		log.Error("urgent calls", "err", err)
	}
}
