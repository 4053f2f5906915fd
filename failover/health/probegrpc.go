package health

import (
	"context"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"failoverd/failover"
)

// maxMessage bounds the answer to a question about the health of a service, in octets. It needs two.
const maxMessage = 64 << 10

// remote asks a gRPC server how a service is (grpc.health.v1). Each time it opens a connection of its own.
type remote struct {
	service string
	to      target
	way     way
	tls     *trust // nil: none
	options []grpc.DialOption
	address string
}

func grpcProber(p *failover.Probe, w way) prober {
	to, err := newTarget(p.Target, 0)
	if err != nil {
		return senseless(err)
	}
	r := &remote{service: p.Service, to: to, way: w, address: p.Target}
	if p.TLS {
		r.tls = newTrust(p, to.host, "h2")
	}
	r.options = []grpc.DialOption{
		grpc.WithDisableRetry(), grpc.WithDisableServiceConfig(), grpc.WithDisableHealthCheck(), grpc.WithNoProxy(),
		grpc.WithUserAgent("failoverd"), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
	}
	return r.ask
}

// ask asks once.
func (r *remote) ask(ctx context.Context) outcome {
	begun := time.Now()
	d := &dialing{remote: r, ctx: ctx}
	options := append(r.options[:len(r.options):len(r.options)], grpc.WithContextDialer(d.dial))
	if r.tls == nil {
		options = append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))
	} else {
		config, err := r.tls.current(ctx)
		if err != nil {
			return d.failure(ctx, err)
		}
		options = append(options, grpc.WithTransportCredentials(&witnessed{credentials.NewTLS(config), d}))
	}
	conn, err := grpc.NewClient("passthrough:///"+r.address, options...)
	if err != nil {
		return outcome{blind: true, cause: harmless(err.Error())}
	}
	defer conn.Close()
	a, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: r.service})
	switch cause := d.error(); {
	case err != nil && cause != nil:
		return d.failure(ctx, cause)
	case err != nil:
		return r.refusal(err)
	case a.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING:
		return outcome{cause: "status " + harmless(a.GetStatus().String())}
	}
	return outcome{ok: true, rtt: time.Since(begun), cause: "status SERVING"}
}

// refusal is the outcome of an error that a server, or the library, answers with.
func (r *remote) refusal(err error) outcome {
	s := status.Convert(err)
	switch s.Code() {
	case codes.NotFound:
		return outcome{cause: harmless("the server does not know service " + r.service)}
	case codes.Unimplemented:
		return outcome{cause: "the server does not tell its health (grpc.health.v1)"}
	}
	return outcome{cause: "gRPC error " + s.Code().String(), said: harmless(s.Message())}
}

// dialing opens the connection of one question, and keeps what went wrong as the error that it was: the library makes a text
// of it. It may be used from any goroutine.
type dialing struct {
	remote *remote
	ctx    context.Context // of the question: that of a dial ends before

	mu    sync.Mutex
	first error
}

func (d *dialing) dial(context.Context, string) (net.Conn, error) {
	l, err := d.remote.way.dial(d.ctx, unix.SOCK_STREAM, &d.remote.to, nil)
	if err != nil {
		return nil, d.note(err)
	}
	return l, nil
}

func (d *dialing) note(err error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.first == nil {
		d.first = err
	}
	return err
}

func (d *dialing) error() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.first
}

func (d *dialing) failure(ctx context.Context, err error) outcome {
	if o, ok := tlsFailure(err); ok {
		return o
	}
	return d.remote.way.failure(ctx, err)
}

// witnessed are credentials whose errors are noted.
type witnessed struct {
	credentials.TransportCredentials
	dialing *dialing
}

// ClientHandshake implements credentials.TransportCredentials.
func (w *witnessed) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	c, info, err := w.TransportCredentials.ClientHandshake(ctx, authority, raw)
	if err != nil {
		err = w.dialing.note(err)
	}
	return c, info, err
}

// Clone implements credentials.TransportCredentials.
func (w *witnessed) Clone() credentials.TransportCredentials {
	return &witnessed{w.TransportCredentials.Clone(), w.dialing}
}
