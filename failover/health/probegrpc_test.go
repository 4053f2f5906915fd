package health

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"failoverd/failover"
)

// authority is one that signs certificates, with the file that names it.
type authority struct {
	tls.Certificate
	file string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{Certificate: certify(t, nil, time.Now().Add(24*time.Hour), "ca"), file: filepath.Join(t.TempDir(), "ca.pem")}
	a.save(t)
	return a
}

func (a *authority) save(t *testing.T) {
	t.Helper()
	write(t, a.file, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Leaf.Raw})))
}

func TestGRPCProbe(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	serve := func(options ...grpc.ServerOption) (*grpc.Server, string) {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := grpc.NewServer(options...)
		t.Cleanup(s.Stop)
		go func() { _ = s.Serve(l) }()
		return s, l.Addr().String()
	}
	h := health.NewServer()
	h.SetServingStatus("good", grpc_health_v1.HealthCheckResponse_SERVING)
	h.SetServingStatus("bad", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	service := func(options ...grpc.ServerOption) string {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := grpc.NewServer(options...)
		grpc_health_v1.RegisterHealthServer(s, h)
		t.Cleanup(s.Stop)
		go func() { _ = s.Serve(l) }()
		return l.Addr().String()
	}
	plain := service()
	cert := certify(t, &ca.Certificate, time.Now().Add(time.Hour), "grpc.example")
	secure := service(grpc.Creds(credentials.NewServerTLSFromCert(&cert)))
	_, bare := serve()
	empty := filepath.Join(t.TempDir(), "empty")
	write(t, empty, "nothing\n")
	for _, tt := range []struct {
		name  string
		probe failover.Probe
		want  string
	}{
		{"the server", failover.Probe{Target: plain}, "ok: status SERVING"},
		{"a service", failover.Probe{Target: plain, Service: "good"}, "ok: status SERVING"},
		{"a service that is not well", failover.Probe{Target: plain, Service: "bad"}, "failed: status NOT_SERVING"},
		{"a service that nobody knows", failover.Probe{Target: plain, Service: "none"}, "failed: the server does not know service none"},
		{"a server that does not tell", failover.Probe{Target: bare}, "failed: the server does not tell its health (grpc.health.v1)"},
		{"nobody there", failover.Probe{Target: closedPort(t)}, "failed: connection refused"},
		{"who accepts and says nothing", failover.Probe{Target: listen(t)}, "failed: timed out after 300ms"},
		{"TLS", failover.Probe{Target: secure, TLS: true, CA: ca.file, ServerName: "grpc.example"}, "ok: status SERVING"},
		{"of another name", failover.Probe{Target: secure, TLS: true, CA: ca.file}, "failed: tls: failed to verify certificate: x509: cannot validate certificate for 127.0.0.1"},
		{"of another authority", failover.Probe{Target: secure, TLS: true, CA: other.file, ServerName: "grpc.example"}, "failed: tls: failed to verify certificate: x509: certificate signed by unknown authority"},
		{"whoever it is", failover.Probe{Target: secure, TLS: true, Insecure: true}, "ok: status SERVING"},
		{"an authority that is not there", failover.Probe{Target: secure, TLS: true, CA: "/nonexistent.pem"}, "unknown: ca /nonexistent.pem: no such file or directory"},
		{"an authority that is none", failover.Probe{Target: secure, TLS: true, CA: empty}, "unknown: ca " + empty + ": there is no certificate in it"},
		{"TLS with who has none", failover.Probe{Target: plain, TLS: true, Insecure: true}, "failed: "},
		{"no TLS with who has it", failover.Probe{Target: secure}, "failed: "},
		{"a name that does not exist", failover.Probe{Target: "nobody.invalid:1"}, ""},
	} {
		tt.probe.Kind = failover.ProbeGRPC
		got := probeOnce(t, failover.CheckConfig{Probe: tt.probe})
		if !strings.HasPrefix(got, tt.want) || strings.HasPrefix(got, "ok") && !strings.HasPrefix(tt.want, "ok") {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// The file with the authorities may change while the check runs.
func TestAuthorityIsReadAgain(t *testing.T) {
	first, second := newAuthority(t), newAuthority(t)
	tr := newTrust(&failover.Probe{CA: first.file}, "x")
	verify := func(a *authority) bool {
		c, err := tr.current(t.Context())
		if err != nil {
			return false
		}
		_, err = a.Leaf.Verify(x509.VerifyOptions{Roots: c.RootCAs, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
		return err == nil
	}
	if !verify(first) || verify(second) {
		t.Error("the first authority is not the one that counts")
	}
	second.file = first.file
	second.save(t)
	do(t, os.Chtimes(first.file, time.Time{}, time.Now().Add(time.Second)))
	if verify(first) || !verify(second) {
		t.Error("the second authority is not the one that counts")
	}
	do(t, os.Remove(first.file))
	if _, err := tr.current(t.Context()); err == nil {
		t.Error("there is no file, and no error")
	}
}
