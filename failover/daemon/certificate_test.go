package daemon

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"failoverd/failover/status"
)

// selfSigned is a certificate that ends at a time.
func selfSigned(t *testing.T, until time.Time) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// told counts the events of the journal that say that something tracked has become what to says.
func (r *running) told(object, to string) (n int) {
	for _, e := range r.agent.Events(1000) {
		if s := string(e); strings.Contains(s, `"kind":"tracker"`) && strings.Contains(s, object) && strings.Contains(s, `"to":"`+to+`"`) {
			n++
		}
	}
	return n
}

// TestCertificateThatEnds: what cert_expiry warns of is in status as JSON and as a table, in the log, and among the events, once,
// while the check stays well; another certificate ends it.
func TestCertificateThatEnds(t *testing.T) {
	l := newLab(t)
	var cert atomic.Pointer[tls.Certificate]
	until := time.Now().Add(10 * 24 * time.Hour)
	cert.Store(selfSigned(t, until))
	listener, err := net.Listen("tcp4", "127.0.0.1:0") // checks run on any thread, which is not in the lab
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), ReadHeaderTimeout: time.Minute}
	go server.Serve(tls.NewListener(listener, &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert.Load(), nil },
	}))
	t.Cleanup(func() { server.Close() })

	r := l.start(fmt.Sprintf(`health_check web {
    http https://%s/ {
        cert_expiry 30
        insecure
    }
    interval 0.2
    rise 1
}
`, listener.Addr()) + strings.Replace(webConf, "    priority 150\n", "    priority 150\n    track_check {\n        web\n    }\n", 1))
	r.waitState("MASTER")
	want := "the certificate ends on " + until.UTC().Format(time.DateOnly)
	eventually(t, "the warning in status", func() bool { return r.snapshot().Checks[0].Warning != "" })
	if c := r.snapshot().Checks[0]; c.Warning != want || !c.OK {
		t.Errorf("status has %q, ok %t; want %q of a check that is well", c.Warning, c.OK, want)
	}
	var table strings.Builder
	if err := status.Table(&table, r.snapshot(), status.TableOptions{}); err != nil || !strings.Contains(table.String(), "warning: "+want) {
		t.Errorf("the table, %v:\n%s", err, table.String())
	}
	time.Sleep(time.Second) // some more probes, none of which is news
	if n := r.log.count(want); n != 1 || r.told("web", "warning") != 1 {
		t.Errorf("%d lines in the log and %d events, want one of each:\n%s", n, r.told("web", "warning"), r.log)
	}
	for line := range strings.Lines(r.log.String()) {
		if strings.Contains(line, want) && !strings.Contains(line, "level=WARN") {
			t.Errorf("the line has another level: %s", line)
		}
	}
	if s := r.snapshot(); s.Routers[0].State != "MASTER" {
		t.Errorf("a warning has made the router %s", s.Routers[0].State)
	}

	cert.Store(selfSigned(t, time.Now().Add(90*24*time.Hour)))
	eventually(t, "the end of the warning", func() bool { return r.snapshot().Checks[0].Warning == "" })
	// The next certificate is warned of anew.
	cert.Store(selfSigned(t, until))
	eventually(t, "another warning", func() bool { return r.told("web", "warning") == 2 && r.log.count(want) == 2 })
	r.mustEnd()
}
