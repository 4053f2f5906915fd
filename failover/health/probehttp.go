package health

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/sys/unix"

	"failoverd/failover"
)

// web asks for a URL. Each time it opens a connection of its own, so that it is the whole way which is checked, uses no
// proxy, and takes the first answer: a redirection is a status like any other, because where it leads to is not what was to
// be checked. Without body_match the body is not read.
//
// It writes the same octets each time and reads the answer itself (answer.go), in the goroutine of the run: a client of package
// net/http would need three more, and three times the time of the processor.
type web struct {
	probe   *failover.Probe
	way     way
	to      target
	tls     *trust // nil: none
	request *http.Request
	text    []byte         // the request, as HTTP/1.1 sends it
	body    *regexp.Regexp // nil: any
	// judge says whether an answer is what it should be.
	judge func(a *answer) (outcome, error)
}

func httpProber(p *failover.Probe, w way) prober {
	h, err := newWeb(p, w)
	if err != nil {
		return senseless(err)
	}
	return h.ask
}

func newWeb(p *failover.Probe, w way) (*web, error) {
	h := &web{probe: p, way: w}
	h.judge = h.matches
	if p.Body != "" {
		var err error
		if h.body, err = regexp.Compile(p.Body); err != nil {
			return nil, err
		}
	}
	u, err := url.Parse(p.Target)
	if err != nil {
		return nil, err
	}
	return h, h.aim(u)
}

// aim makes the request for a URL.
func (h *web) aim(u *url.URL) (err error) {
	port := u.Port()
	switch {
	case u.Scheme == "https" && h.probe.HTTP2:
		h.tls = newTrust(h.probe, u.Hostname(), "h2")
	case u.Scheme == "https":
		h.tls = newTrust(h.probe, u.Hostname())
	}
	if port == "" {
		port = map[bool]string{true: "443", false: "80"}[h.tls != nil]
	}
	if h.to, err = newTarget(net.JoinHostPort(u.Hostname(), port), 0); err != nil {
		return err
	}
	method := h.probe.Method
	if method == "" {
		method = http.MethodGet
	}
	h.request = &http.Request{
		Method: method, URL: u, Host: h.probe.Host, Header: http.Header{"User-Agent": {"failoverd"}}, Close: !h.probe.HTTP2,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	named := make(map[string]bool)
	for _, f := range h.probe.Headers {
		if name := http.CanonicalHeaderKey(f[0]); !named[name] {
			named[name] = true
			h.request.Header.Del(name)
		}
		h.request.Header.Add(f[0], f[1])
	}
	var b bytes.Buffer
	err = h.request.Write(&b)
	h.text = b.Bytes()
	return err
}

// ask asks once.
func (h *web) ask(ctx context.Context) outcome {
	begun := time.Now()
	var o outcome
	var err error
	if h.tls == nil && h.to.address.IsValid() {
		o, err = h.hail(ctx)
	} else {
		o, err = h.call(ctx)
	}
	if err != nil {
		return h.failure(ctx, err)
	}
	if o.ok {
		o.rtt = time.Since(begun)
	}
	return o
}

// hail asks an address without TLS, and waits for as little as possible.
func (h *web) hail(ctx context.Context) (outcome, error) {
	s, err := h.way.begin(ctx, unix.SOCK_STREAM, 0, netip.AddrPortFrom(h.to.address, h.to.port), talkative)
	if err != nil {
		return outcome{}, err
	}
	e := &eager{attempt: s, ctx: ctx}
	defer e.Close()
	if _, err := e.Write(h.text); err != nil {
		return outcome{}, dialError(s.remote, err)
	}
	return h.hear(e)
}

// call connects to the server in order, and asks it.
func (h *web) call(ctx context.Context) (outcome, error) {
	end := abrupt
	if h.tls != nil {
		end = nil // a reset could overtake what TLS has to say of a certificate, and the server would not know
	}
	l, err := h.way.dial(ctx, unix.SOCK_STREAM, &h.to, end)
	if err != nil {
		return outcome{}, err
	}
	defer l.Close()
	return h.converse(ctx, l)
}

// converse sends the request, and judges the answer.
func (h *web) converse(ctx context.Context, l *link) (outcome, error) {
	if h.tls == nil {
		return h.speak(l)
	}
	c, err := h.tls.handshake(ctx, l)
	if err != nil {
		return outcome{}, err
	}
	state := c.ConnectionState()
	speak := func() (outcome, error) { return h.speak(c) }
	if h.probe.HTTP2 {
		if state.NegotiatedProtocol != "h2" {
			return outcome{cause: "the server does not speak HTTP/2"}, nil
		}
		speak = func() (outcome, error) { return h.speak2(ctx, c) }
	}
	o, err := speak()
	o.warning = h.tls.warning(state, time.Now())
	return o, err
}

// speak speaks HTTP/1.1.
func (h *web) speak(conn io.ReadWriter) (outcome, error) {
	if _, err := conn.Write(h.text); err != nil {
		return outcome{}, err
	}
	return h.hear(conn)
}

// hear judges the answer that comes.
func (h *web) hear(conn io.Reader) (outcome, error) {
	r := readers.Get().(*reader)
	defer r.release()
	r.from(conn)
	a, err := r.answer(h.request.Method)
	if err != nil {
		return outcome{}, err
	}
	return h.judge(a)
}

// speak2 speaks HTTP/2. The one of net/http is not in the program that is shipped; this one the speakers need anyway.
func (h *web) speak2(ctx context.Context, conn net.Conn) (outcome, error) {
	//lint:ignore SA1019 what is to take its place, in net/http, has no HTTP/2 with the tag nethttpomithttp2
	transport := &http2.Transport{DisableCompression: true, MaxHeaderListSize: maxHeader}
	c, err := transport.NewClientConn(conn) //lint:ignore SA1019 see above
	if err != nil {
		return outcome{}, err
	}
	defer c.Close()
	a, err := c.RoundTrip(h.request.WithContext(ctx))
	if err != nil {
		return outcome{}, err
	}
	defer a.Body.Close()
	limit := &io.LimitedReader{R: a.Body, N: maxBody}
	return h.judge(&answer{status: a.StatusCode, body: limit, limit: limit})
}

// matches is the judge of a health_check by http. Of a body that is too long the beginning counts.
func (h *web) matches(a *answer) (outcome, error) {
	if !h.right(a.status) {
		return outcome{cause: "status " + strconv.Itoa(a.status)}, nil
	}
	if h.body != nil {
		body, over, err := a.text()
		if err != nil && !over {
			return outcome{}, err
		}
		if !h.body.Match(body) {
			return outcome{cause: "the body does not match", said: harmless(string(body[:min(len(body), maxWords+1)]))}, nil
		}
	}
	return outcome{ok: true, cause: "status " + strconv.Itoa(a.status)}, nil
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
	if o, ok := tlsFailure(err); ok {
		return o
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return outcome{cause: "the connection was closed before the end of the answer"}
	}
	return h.way.failure(ctx, err)
}
