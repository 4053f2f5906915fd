// Package speaker hosts gobgp servers: the speaker process that stands between the agent and its BGP neighbors, the
// supervisor that keeps such a process alive on the agent's side, and an upstream router for the demo and the labs.
// No other room imports gobgp's server.
//
// The server lives in a process of its own because one malformed message can crash it, and a crash of gobgp's
// goroutines cannot be caught: VRRP must not die with BGP. What the process announces is a lease on the life of the
// agent's loop, which Supervised.Touch renews through a pipe:
//
//	agent                                            speaker process
//	loop ---Touch---> Supervised ===lease pipe====>  Main: silence: withdraw everything; end of file: CEASE, exit
//	loop ---Set-----> gobgp.Client ===call, Unix===> gobgp server ---TCP---> neighbors
//	                  gobgp.Client ===gRPC, Unix===> gobgp server
//	report <--------- gobgp.Client <===events=====
//	log <------------ Supervised <===stderr, JSON==
//
// What announces and withdraws goes by package call, everything else by gRPC. A process of a version before that is asked by gRPC
// for everything.
//
// Read main.go for the process, supervised.go for its other end.
package speaker

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/osrg/gobgp/v3/pkg/server"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"failoverd/bgp/gobgp"
)

// stopWithin bounds the CEASE at the end; the sessions end with the process in any case.
const stopWithin = time.Second

// Options are what the speaker process is told by its parent.
type Options struct {
	// Socket is the path of the Unix socket for gobgp's gRPC API, in a directory that only the parent's user may enter. That for
	// urgent calls (call.SocketName) is beside it.
	Socket string
	// Lease is the read end of the lease pipe; nil: the process lives until ctx ends.
	Lease *os.File
	// LeaseTime is how long the parent may be silent before everything is withdrawn; 0: for ever.
	LeaseTime time.Duration
	// Rails is the file with what may be announced, whatever the API is asked for (see rails.go); nil: nothing may be.
	Rails *os.File
	// Log gets what the server has to say; nil: JSON lines on standard error.
	Log *slog.Logger
}

// ParseOptions reads the arguments that Supervised appends to its command.
func ParseOptions(args []string) (Options, error) {
	var (
		o         Options
		fd, rails uint
	)
	f := flag.NewFlagSet("speaker", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&o.Socket, "socket", "", "path of the Unix socket for gobgp's API")
	f.DurationVar(&o.LeaseTime, "lease", 0, "withdraw everything after this long a silence of the parent; 0: never")
	f.UintVar(&fd, "lease-fd", 0, "descriptor of the lease pipe; 0: none")
	f.UintVar(&rails, "rails-fd", 0, "descriptor of the file with what may be announced; 0: nothing may be")
	switch err := f.Parse(args); {
	case err != nil:
		return o, fmt.Errorf("speaker: %w", err)
	case f.NArg() > 0:
		return o, fmt.Errorf("speaker: unexpected argument %q", f.Arg(0))
	case o.Socket == "":
		return o, errors.New("speaker: --socket is missing; this command is started by failoverd run, not by hand")
	case o.LeaseTime < 0:
		return o, fmt.Errorf("speaker: --lease %v is negative", o.LeaseTime)
	}
	if fd != 0 {
		o.Lease = os.NewFile(uintptr(fd), "lease")
	}
	if rails != 0 {
		o.Rails = os.NewFile(uintptr(rails), "rails")
	}
	return o, nil
}

// arguments is what ParseOptions reads.
func (o *Options) arguments(leaseFD int) []string {
	return []string{"--socket", o.Socket, "--lease", o.LeaseTime.String(), "--lease-fd", fmt.Sprint(leaseFD)}
}

// Main is the body of the speaker process: it hosts one gobgp server, reachable on o.Socket only, until the parent
// closes the lease pipe or ctx ends; both end the sessions with CEASE and return nil. An error means that the process
// should end at once, whatever its sessions do: the neighbors then withdraw when the connection closes.
//
// With a lease, Main ignores SIGINT, SIGTERM and SIGHUP, which terminals and service managers send to whole groups:
// when this process ends is the parent's decision alone. It must not share its process with anything else.
func Main(ctx context.Context, o Options) error {
	k := tuneMemory()
	syscall.Umask(0o077)
	if o.Lease != nil {
		signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
		// A parent that is frozen must not freeze us in a log line: lines that do not fit are lost.
		if err := syscall.SetNonblock(int(os.Stderr.Fd()), true); err != nil {
			return fmt.Errorf("speaker: standard error: %w", err)
		}
	}
	if o.Log == nil {
		// What is written is the parent's decision.
		o.Log = slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	fatal := make(chan error, 1)
	fail := func(err error) {
		select {
		case fatal <- err:
		default:
		}
	}
	logger := newLogger(o.Log, fail)
	k.log, k.fatal = logger, fail
	gate := gobgp.NewGate((&railsReader{file: o.Rails}).read)
	l := newLease(o.LeaseTime)
	l.withdrew = gate.Withdrawn
	calls := listenCalls(&o) // before gRPC: who has its answer knows whether there are calls
	unary := []grpc.UnaryServerInterceptor{l.unary, gatedUnary(gate), k.unary}
	s := server.NewBgpServer(
		server.LoggerOption(logger),
		server.GrpcListenAddress("unix://"+o.Socket),
		server.GrpcOption([]grpc.ServerOption{
			grpc.ChainUnaryInterceptor(unary...), grpc.ChainStreamInterceptor(l.stream, gatedStream(gate)),
			grpc.ReadBufferSize(4 << 10), grpc.WriteBufferSize(4 << 10),
		}))
	go s.Serve()
	if calls != nil {
		defer calls.Close()
		go serveCalls(calls, s, o.Log, unary)
	}
	o.Log.Info("BGP speaker process started", "pid", os.Getpid(), "lease", o.LeaseTime.String())

	eof := make(chan error, 1)
	if o.Lease != nil {
		go func() { eof <- l.read(o.Lease) }()
	}
	lapsed := make(chan error, 1)
	watching, stop := context.WithCancel(ctx)
	defer stop()
	go func() { lapsed <- l.watch(watching, s, o.Log) }()
	k.server = s
	go newGuard(s, logger).run(watching)
	go k.run(watching)
	select {
	case err := <-fatal:
		return err
	case err := <-lapsed:
		if ctx.Err() == nil {
			return err
		}
	case err := <-eof:
		o.Log.Info("the agent closed the lease pipe", "err", err)
	case <-ctx.Done():
	}
	return bounded(stopWithin, "close the BGP sessions", func() error { return gobgp.StopServer(s) })
}

// tuneMemory sets limits that fit a speaker that originates a few routes, unless the environment says otherwise.
func tuneMemory() *keeper {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	k := &keeper{tune: os.Getenv("GOMEMLIMIT") == ""}
	k.collect()
	return k
}

// bounded runs f, which may block for as long as gobgp's event loop is busy, and gives up waiting after d.
func bounded(d time.Duration, what string, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	case <-time.After(d):
		return fmt.Errorf("%s: gobgp did not answer within %v", what, d)
	}
}

// unary refuses announcements while the lease is lapsed: a request that the agent sent before it froze must not undo
// the withdrawal.
func (l *lease) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if err := l.permit(info.FullMethod); err != nil {
		return nil, err
	}
	return next(ctx, req)
}

// stream is unary for streams.
func (l *lease) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if err := l.permit(info.FullMethod); err != nil {
		return err
	}
	return next(srv, ss)
}

func (l *lease) permit(method string) error {
	if strings.Contains(method, "/AddPath") && l.lapsed() {
		return status.Error(codes.FailedPrecondition, "the agent has been silent for longer than its lease")
	}
	return nil
}
