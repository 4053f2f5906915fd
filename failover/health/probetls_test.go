package health

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"failoverd/failover"
)

// serveTLS serves the test site over TLS with a certificate, by HTTP/2 only if two is set, and returns its URL. It does not
// need the HTTP/2 of net/http, so that the tests can run with the tags of the shipped program.
func serveTLS(t *testing.T, cert tls.Certificate, two bool) string {
	t.Helper()
	if !two {
		s := httptest.NewUnstartedServer(site(t))
		s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
		s.StartTLS()
		t.Cleanup(s.Close)
		return s.URL
	}
	l, err := tls.Listen("tcp4", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				if c.(*tls.Conn).Handshake() == nil {
					//lint:ignore SA1019 net/http has no HTTP/2 with the tag nethttpomithttp2
					(&http2.Server{}).ServeConn(c, &http2.ServeConnOpts{Handler: site(t)})
				}
			}()
		}
	}()
	return "https://" + l.Addr().String()
}

// What else a probe by http can be told, over TLS.
func TestHTTPSWords(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	soon := time.Now().Add(10 * 24 * time.Hour)
	cert := certify(t, &ca.Certificate, soon, "www.example")
	one, two := serveTLS(t, cert, false), serveTLS(t, cert, true)
	warning := "the certificate ends on " + soon.UTC().Format(time.DateOnly)
	for _, tt := range []struct {
		name, url     string
		probe         failover.Probe
		want, warning string
	}{
		{"an authority", one + "/ok", failover.Probe{CA: ca.file}, "ok: status 200", ""},
		{"another one", one + "/ok", failover.Probe{CA: other.file}, "failed: tls: failed to verify certificate: x509: certificate signed by unknown authority", ""},
		{"one that cannot be read", one + "/ok", failover.Probe{CA: "/nonexistent"}, "unknown: ca /nonexistent: no such file or directory", ""},
		{"without it, those of the system", one + "/ok", failover.Probe{}, "failed: tls: failed to verify certificate: x509: certificate signed by unknown authority", ""},
		{"a certificate that ends soon", one + "/ok", failover.Probe{CA: ca.file, CertExpiry: 11}, "ok: status 200", warning},
		{"and is warned of whatever the answer is", one + "/sick", failover.Probe{CA: ca.file, CertExpiry: 11}, "failed: status 503", warning},
		{"one that ends later", one + "/ok", failover.Probe{CA: ca.file, CertExpiry: 9}, "ok: status 200", ""},
		{"a certificate that nobody verifies", one + "/ok", failover.Probe{Insecure: true, CertExpiry: 11}, "ok: status 200", warning},
		{"HTTP/2", two + "/ok", failover.Probe{CA: ca.file, HTTP2: true, Body: "all is well"}, "ok: status 200", ""},
		{"HTTP/2 and a header", two + "/mirror", failover.Probe{CA: ca.file, HTTP2: true, Body: "^POST www.example curl ;$", Method: "POST", Headers: [][2]string{{"user-agent", "curl"}}}, "ok: status 200", ""},
		{"HTTP/2 and a certificate that ends soon", two + "/ok", failover.Probe{CA: ca.file, HTTP2: true, CertExpiry: 11}, "ok: status 200", warning},
		{"another status by HTTP/2", two + "/sick", failover.Probe{CA: ca.file, HTTP2: true}, "failed: status 503", ""},
		{"no answer by HTTP/2", two + "/hang", failover.Probe{CA: ca.file, HTTP2: true}, "failed: timed out after 300ms", ""},
		{"a body without an end by HTTP/2", two + "/endless", failover.Probe{CA: ca.file, HTTP2: true, Body: "y"}, "failed: the body does not match: xxx", ""},
		{"a server without HTTP/2", one + "/ok", failover.Probe{CA: ca.file, HTTP2: true}, "failed: ", ""},
	} {
		tt.probe.Kind, tt.probe.Target = failover.ProbeHTTP, tt.url
		if tt.probe.Host = "www.example"; tt.probe.Insecure {
			tt.probe.Host = ""
		}
		c := failover.CheckConfig{Probe: tt.probe, Timeout: 5 * time.Second} // a handshake takes its time on a busy machine
		if strings.Contains(tt.want, "timed out") {
			c.Timeout = 0
		}
		if got := probeOnce(t, c); !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
		if strings.HasSuffix(tt.url, "/hang") {
			continue
		}
		if o := httpProber(&tt.probe, way{})(t.Context()); o.warning != tt.warning {
			t.Errorf("%s: warning %q, want %q", tt.name, o.warning, tt.warning)
		}
	}
}

// Headers go out as they are given, several of one name too, and take the place of our own.
func TestHTTPHeaders(t *testing.T) {
	var seen http.Header
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.Header }))
	defer s.Close()
	p := failover.Probe{Kind: failover.ProbeHTTP, Target: s.URL, Headers: [][2]string{{"X-A", "1 2"}, {"x-a", "3"}, {"User-Agent", "me"}, {"Accept-Encoding", "gzip"}}}
	if got := probeOnce(t, failover.CheckConfig{Probe: p}); got != "ok: status 200" {
		t.Error(got)
	}
	if a := seen.Values("X-A"); len(a) != 2 || a[0] != "1 2" || a[1] != "3" || seen.Get("User-Agent") != "me" || len(seen.Values("User-Agent")) != 1 || seen.Get("Accept-Encoding") != "gzip" {
		t.Errorf("%v", seen)
	}
}

// What cannot be is a check that says so, and no crash.
func TestSenselessProbes(t *testing.T) {
	for _, p := range []failover.Probe{
		{Kind: failover.ProbeTCP, Target: "nowhere"},
		{Kind: failover.ProbeTCP, Target: ""},
		{Kind: failover.ProbeHTTP, Target: "http://%zz/"},
		{Kind: failover.ProbeHTTP, Target: "http://a:b/"},
		{Kind: failover.ProbeHTTP, Target: ""},
		{Kind: failover.ProbeHTTP, Target: "http://127.0.0.1:1/", Body: "("},
		{Kind: failover.ProbeGRPC, Target: "a"},
		{Kind: failover.ProbeDNS, Target: "127.0.0.1", Query: strings.Repeat("a", 300), DNS: failover.DNSProbe{Type: "A"}},
		{Kind: failover.ProbePrometheus, Target: "::"},
		{Kind: failover.ProbePrometheus, Target: "http://"},
		{Kind: failover.ProbeLink, Target: strings.Repeat("a", 20)},
		{Kind: failover.ProbeICMP, Target: ""},
	} {
		if got := probeOnce(t, failover.CheckConfig{Probe: p}); strings.HasPrefix(got, "ok") {
			t.Errorf("%s: %s", p.String(), got)
		}
	}
	if _, err := net.InterfaceByName("lo"); err == nil {
		if got := probeOnce(t, failover.CheckConfig{Probe: failover.Probe{Kind: failover.ProbeLink, Target: "nosuch0"}}); got != "failed: it does not exist" {
			t.Error(got)
		}
	}
}
