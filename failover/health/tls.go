package health

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"failoverd/failover"
)

// trust says which certificates a probe believes. It has one user at a time.
type trust struct {
	config *tls.Config
	ca     string // a file with authorities; empty: those of the system
	read   fileStamp
	warn   time.Duration // before the end of a certificate
}

// fileStamp tells one state of a file from another one.
type fileStamp struct {
	size     int64
	modified time.Time
}

// newTrust returns that of a probe of a host with this name. protocols are those to choose from; none: nothing is said.
func newTrust(p *failover.Probe, name string, protocols ...string) *trust {
	return &trust{
		config: &tls.Config{InsecureSkipVerify: p.Insecure, ServerName: serverName(p, name), NextProtos: protocols},
		ca:     p.CA, warn: time.Duration(p.CertExpiry) * 24 * time.Hour,
	}
}

// serverName is the name that certificates must be for: server_name, or host, or that of the URL.
func serverName(p *failover.Probe, def string) string {
	switch host, _, err := net.SplitHostPort(p.Host); {
	case p.ServerName != "":
		return p.ServerName
	case p.Host == "":
		return def
	case err == nil:
		return host
	}
	return p.Host
}

// authorityError says that the file with the authorities is of no use.
type authorityError struct{ path, why string }

// Error names the file and says what is wrong.
func (e *authorityError) Error() string { return "ca " + e.path + ": " + e.why }

// current returns what to go by now. The file with the authorities is read again when it has changed, which is a
// hurdle: it may be on a dead file server.
func (t *trust) current(ctx context.Context) (*tls.Config, error) {
	if t.ca == "" {
		return t.config, nil
	}
	defer hinder(ctx, "ca "+t.ca+": it takes too long to read it")()
	st, err := os.Stat(t.ca)
	if err != nil {
		return nil, &authorityError{t.ca, plain(err)}
	}
	if now := (fileStamp{st.Size(), st.ModTime()}); now != t.read {
		if !st.Mode().IsRegular() {
			return nil, &authorityError{t.ca, errIrregular.Error()}
		}
		text, err := os.ReadFile(t.ca)
		if err != nil {
			return nil, &authorityError{t.ca, plain(err)}
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(text) {
			return nil, &authorityError{t.ca, "there is no certificate in it"}
		}
		t.config, t.read = t.config.Clone(), now
		t.config.RootCAs = roots
	}
	return t.config, nil
}

// handshake begins TLS on a link, and ends with it.
func (t *trust) handshake(ctx context.Context, l net.Conn) (*tls.Conn, error) {
	config, err := t.current(ctx)
	if err != nil {
		return nil, err
	}
	c := tls.Client(l, config)
	return c, c.Handshake()
}

// warning says that a certificate is about to end, the server's or one that it has sent with its own.
func (t *trust) warning(state tls.ConnectionState, now time.Time) string {
	if t.warn == 0 || len(state.PeerCertificates) == 0 {
		return ""
	}
	ends := state.PeerCertificates[0].NotAfter
	for _, c := range state.PeerCertificates[1:] {
		if c.NotAfter.Before(ends) {
			ends = c.NotAfter
		}
	}
	if ends.Sub(now) > t.warn {
		return ""
	}
	return "the certificate ends on " + ends.UTC().Format(time.DateOnly)
}

// tlsFailure is the outcome of what went wrong with certificates, if that is what an error is about: what this node cannot
// read, or what would have another text each time.
func tlsFailure(err error) (o outcome, ok bool) {
	var unreadable *authorityError
	if errors.As(err, &unreadable) {
		return outcome{blind: true, cause: harmless(unreadable.Error())}, true
	}
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		return outcome{cause: "the certificate has expired or is not valid yet", said: harmless(fmt.Sprint(invalid))}, true
	}
	return outcome{}, false
}
