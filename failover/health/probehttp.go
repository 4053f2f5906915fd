package health

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"failoverd/failover"
)

const (
	// maxBody is how much of a body is read for body_match, in octets.
	maxBody = 256 << 10
	// maxHeader bounds the header of a response, in octets.
	maxHeader = 64 << 10
)

// web asks for a URL. Each time it opens a connection of its own, so that it is the whole way which is checked, speaks
// HTTP/1.1, uses no proxy, and takes the first answer: a redirection is a status like any other, because where it leads to
// is not what was to be checked. Without body_match the body is not read.
type web struct {
	probe     *failover.Probe
	way       way
	transport *http.Transport
	url       *url.URL
	body      *regexp.Regexp // nil: any
}

func httpProber(p *failover.Probe, w way) prober {
	h, err := newWeb(p, w)
	if err != nil {
		o := outcome{blind: true, cause: harmless(err.Error())}
		return func(context.Context) outcome { return o } // conf lets none of these pass
	}
	return h.ask
}

func newWeb(p *failover.Probe, w way) (*web, error) {
	h := &web{probe: p, way: w}
	var err error
	if h.url, err = url.Parse(p.Target); err != nil {
		return nil, err
	}
	if p.Body != "" {
		if h.body, err = regexp.Compile(p.Body); err != nil {
			return nil, err
		}
	}
	h.transport = &http.Transport{
		DialContext:        w.dialer("tcp").DialContext,
		TLSClientConfig:    &tls.Config{InsecureSkipVerify: p.Insecure, ServerName: serverName(p)},
		DisableKeepAlives:  true,
		DisableCompression: true, MaxResponseHeaderBytes: maxHeader,
	}
	return h, nil
}

// serverName is the name that certificates must be for: server_name, or host, or, if it is empty, that of the URL.
func serverName(p *failover.Probe) string {
	if p.ServerName != "" || p.Host == "" {
		return p.ServerName
	}
	if host, _, err := net.SplitHostPort(p.Host); err == nil {
		return host
	}
	return p.Host
}

// ask asks once.
func (h *web) ask(ctx context.Context) outcome {
	method := h.probe.Method
	if method == "" {
		method = http.MethodGet
	}
	begun := time.Now()
	q := (&http.Request{Method: method, URL: h.url, Host: h.probe.Host, Header: http.Header{"User-Agent": {"failoverd"}}}).WithContext(ctx)
	a, err := h.transport.RoundTrip(q)
	if err != nil {
		return h.failure(ctx, err)
	}
	defer a.Body.Close()
	if !h.right(a.StatusCode) {
		return outcome{cause: "status " + strconv.Itoa(a.StatusCode)}
	}
	if h.body != nil {
		body, err := io.ReadAll(io.LimitReader(a.Body, maxBody))
		if err != nil {
			return h.failure(ctx, err)
		}
		if !h.body.Match(body) {
			return outcome{cause: "the body does not match", said: harmless(string(body[:min(len(body), maxWords+1)]))}
		}
	}
	return outcome{ok: true, rtt: time.Since(begun), cause: "status " + strconv.Itoa(a.StatusCode)}
}

func (h *web) right(status int) bool {
	for _, r := range h.probe.Statuses {
		if status >= r[0] && status <= r[1] {
			return true
		}
	}
	return len(h.probe.Statuses) == 0 && status >= 200 && status <= 299
}

// failure gives errors whose text changes from one time to the next a cause that does not.
func (h *web) failure(ctx context.Context, err error) outcome {
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		return outcome{cause: "the certificate has expired or is not valid yet", said: harmless(fmt.Sprint(invalid))}
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return outcome{cause: "the connection was closed before the end of the answer"}
	}
	return h.way.failure(ctx, err)
}
