package health

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"failoverd/failover"
)

func site(t *testing.T) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("all is well\n")) })
	mux.HandleFunc("/sick", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/ok", http.StatusFound) })
	mux.HandleFunc("/mirror", func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(r.Method + " " + r.Host + " " + r.UserAgent() + " " + r.Header.Get("Accept-Encoding") + ";"))
	})
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write([]byte(strings.Repeat("x", 1<<16))); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/hang", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/half", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write([]byte("half"))
	})
	return mux
}

func TestHTTPProbe(t *testing.T) {
	s := httptest.NewServer(site(t))
	defer s.Close()
	for _, tt := range []struct {
		name  string
		path  string
		probe failover.Probe
		want  string
	}{
		{"a status", "/ok", failover.Probe{}, "ok: status 200"},
		{"another one", "/sick", failover.Probe{}, "failed: status 503"},
		{"that is wanted", "/sick", failover.Probe{Statuses: [][2]int{{200, 204}, {503, 503}}}, "ok: status 503"},
		{"and one that is not any more", "/ok", failover.Probe{Statuses: [][2]int{{204, 204}}}, "failed: status 200"},
		{"a redirection is not followed", "/moved", failover.Probe{}, "failed: status 302"},
		{"and may be what is wanted", "/moved", failover.Probe{Statuses: [][2]int{{300, 399}}}, "ok: status 302"},
		{"a body", "/ok", failover.Probe{Body: "(?i)ALL .* well"}, "ok: status 200"},
		{"another body", "/ok", failover.Probe{Body: "^all is bad"}, "failed: the body does not match: all is well"},
		{"what is sent", "/mirror", failover.Probe{Body: "^GET 127.0.0.1:[0-9]+ failoverd ;$"}, "ok: status 200"},
		{"another method and host", "/mirror", failover.Probe{Method: "POST", Host: "www.example", Body: "^POST www.example "}, "ok: status 200"},
		{"a body without an end", "/endless", failover.Probe{Body: "y"}, "failed: the body does not match: " + strings.Repeat("x", maxWords) + "..."},
		{"and nobody reads it", "/endless", failover.Probe{}, "ok: status 200"},
		{"no answer", "/hang", failover.Probe{}, "failed: timed out after 300ms"},
		{"half an answer", "/half", failover.Probe{Body: "x"}, "failed: the connection was closed before the end of the answer"},
	} {
		c := failover.CheckConfig{Probe: tt.probe}
		c.Probe.Kind, c.Probe.Target = failover.ProbeHTTP, s.URL+tt.path
		if tt.path != "/hang" {
			c.Timeout = patiently
		}
		if got := probeOnce(t, c); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// Servers that are none.
func TestHTTPProbeOfOthers(t *testing.T) {
	says := func(text string) string {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
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
				_, _ = bufio.NewReader(c).ReadString('\n')
				_, _ = c.Write([]byte(text))
				_ = c.Close()
			}
		}()
		return "http://" + l.Addr().String() + "/"
	}
	for _, tt := range []struct{ name, url, want string }{
		{"accepts and never answers", "http://" + listen(t) + "/", "failed: timed out after 300ms"},
		{"is not there", "http://" + closedPort(t) + "/", "failed: connection refused"},
		{"has another protocol", says("220 mail.example ESMTP\r\n"), "failed: "},
		{"has a header without an end", says("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 2*maxHeader)), "failed: "},
		{"has no TLS", strings.Replace(says("HTTP/1.1 400 Bad Request\r\n\r\n"), "http:", "https:", 1), "failed: "},
	} {
		c := failover.CheckConfig{Probe: failover.Probe{Kind: failover.ProbeHTTP, Target: tt.url}}
		if !strings.Contains(tt.want, "timed out") {
			c.Timeout = patiently
		}
		got := probeOnce(t, c)
		if !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// certify returns a certificate for a name, signed by ca, or by itself.
func certify(t *testing.T, ca *tls.Certificate, until time.Time, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: until, DNSNames: []string{name},
		IsCA: ca == nil, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	parent, signer := c, key
	if ca != nil {
		parent, signer = ca.Leaf, ca.PrivateKey.(*ecdsa.PrivateKey)
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func TestHTTPSProbe(t *testing.T) {
	tomorrow := time.Now().Add(24 * time.Hour)
	ca := certify(t, nil, tomorrow, "ca")
	roots := x509.NewCertPool()
	roots.AddCert(ca.Leaf)
	serve := func(cert tls.Certificate) string {
		s := httptest.NewUnstartedServer(site(t))
		s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
		s.EnableHTTP2 = true
		s.StartTLS()
		t.Cleanup(s.Close)
		return s.URL
	}
	right := serve(certify(t, &ca, tomorrow, "www.example"))
	expired := serve(certify(t, &ca, time.Now().Add(-time.Hour), "www.example"))
	strange := serve(certify(t, nil, tomorrow, "www.example"))
	for _, tt := range []struct {
		name, url string
		probe     failover.Probe
		want      string
	}{
		{"of another name", right, failover.Probe{}, "failed: tls: failed to verify certificate: x509: cannot validate certificate for 127.0.0.1"},
		{"of server_name", right, failover.Probe{ServerName: "www.example"}, "ok: status 200"},
		{"of host", right, failover.Probe{Host: "www.example:443"}, "ok: status 200"},
		{"not of server_name", right, failover.Probe{Host: "www.example", ServerName: "other.example"}, "failed: tls: failed to verify certificate: x509: certificate is valid for www.example"},
		{"expired", expired, failover.Probe{ServerName: "www.example"}, "failed: the certificate has expired or is not valid yet: x509: "},
		{"of an authority that nobody knows", strange, failover.Probe{ServerName: "www.example"}, "failed: tls: failed to verify certificate: x509: certificate signed by unknown authority"},
		{"whatever it is", strange, failover.Probe{Insecure: true}, "ok: status 200"},
	} {
		tt.probe.Kind, tt.probe.Target = failover.ProbeHTTP, tt.url+"/ok"
		h, err := newWeb(&tt.probe, way{})
		if err != nil {
			t.Fatal(err)
		}
		h.tls.config.RootCAs = roots
		o := h.ask(t.Context())
		if got := [...]string{"ok", "failed", "unknown"}[o.result()] + ": " + o.reason(1); !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
		// A cause that changes each time would be news each time.
		if again := h.ask(t.Context()); again.cause != o.cause {
			t.Errorf("%s: another cause: %s, then %s", tt.name, o.cause, again.cause)
		}
	}
}
