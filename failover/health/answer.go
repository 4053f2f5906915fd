package health

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

const (
	// maxBody is how much of a body is read for body_match, in octets.
	maxBody = 256 << 10
	// maxHeader bounds the header of a response, with those of interim responses before it, in octets.
	maxHeader = 64 << 10
	// maxInterim is how many interim responses (RFC 9110 section 15.2) may come before the one that counts.
	maxInterim = 5
)

// answer is a response of which the header was read. It belongs to the reader that it came from.
type answer struct {
	status int
	body   io.Reader         // without what it was wrapped in for its way
	limit  *io.LimitedReader // what the body is read through
	buffer []byte            // for the body; may be nil
}

// text returns the body. over: it is too long, or as long as may be, and this is its beginning, of maxBody octets at most; err
// means nothing then.
func (a *answer) text() (body []byte, over bool, err error) {
	b := a.buffer[:0]
	for len(b) < maxBody && err == nil {
		var n int
		b = slices.Grow(b, 1)
		n, err = a.body.Read(b[len(b):min(cap(b), maxBody)])
		b = b[:len(b)+n]
	}
	a.buffer = b
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return b, len(b) >= maxBody || a.limit.N <= 0, err
}

// reader reads answers by HTTP/1.1 (RFC 9112), within limits. It knows of a header what it takes to find the end of the body, and
// of the rest whether it is a header at all. Package net/http makes a map of it, and takes several times as long.
type reader struct {
	buffered *bufio.Reader // of limit
	limit    io.LimitedReader
	long     []byte // a line that is longer than the buffer
	result   answer
	body     body
}

// readers are those that nobody uses. There are about as many as probes that run at the same time.
var readers = sync.Pool{New: func() any {
	r := &reader{}
	r.buffered = bufio.NewReader(&r.limit)
	return r
}}

// from makes r read from a connection.
func (r *reader) from(conn io.Reader) {
	r.limit = io.LimitedReader{R: conn, N: maxHeader}
	r.buffered.Reset(&r.limit)
}

// release makes r one that nobody uses. Nothing that it has returned may be used any more.
func (r *reader) release() {
	r.limit.R = nil
	readers.Put(r)
}

// answer reads the header of the answer that counts: the first one that is not interim. Its body may be read then.
func (r *reader) answer(method string) (*answer, error) {
	for range maxInterim + 1 {
		h, err := r.head()
		if err != nil && r.limit.N <= 0 {
			return nil, errors.New("the header of the answer is too long")
		}
		if err != nil {
			return nil, err
		}
		if h.status < 200 && h.status != http.StatusSwitchingProtocols {
			continue
		}
		r.limit.N = maxBody // of what is still to be read; the rest is in the buffer
		r.body = newBody(r, h, method)
		r.result = answer{status: h.status, body: &r.body, limit: &r.limit, buffer: r.result.buffer}
		return &r.result, nil
	}
	return nil, errors.New("too many interim answers")
}

// head is what matters of a header.
type head struct {
	status  int
	old     bool  // HTTP/1.0 or less
	chunked bool  // and length does not count
	length  int64 // of the body, in octets; -1: it is not said
}

// head reads a header.
func (r *reader) head() (head, error) {
	line, err := r.line()
	if err != nil {
		return head{}, err
	}
	h, err := parseStatusLine(line)
	if err != nil {
		return head{}, err
	}
	h.length = -1
	framed := true // a continuation of the line before would change what was understood, or there is none
	for {
		line, err := r.line()
		switch {
		case err != nil:
			return head{}, err
		case len(line) == 0:
			return h, nil
		case line[0] == ' ' || line[0] == '\t': // RFC 9112 section 5.2
			if framed || !proper(line) {
				return head{}, malformed(line)
			}
			continue
		}
		if framed, err = h.field(line); err != nil {
			return head{}, err
		}
	}
}

// line reads a line, without its end, which may be LF alone (RFC 9112 section 2.2). It is valid until the next one is read.
func (r *reader) line() ([]byte, error) {
	line, err := r.upToLF()
	return bytes.TrimSuffix(line, []byte("\r")), err
}

// upToLF reads what comes before the next LF. It is valid as a line is.
func (r *reader) upToLF() ([]byte, error) {
	line, err := r.buffered.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		r.long = append(r.long[:0], line...)
		for errors.Is(err, bufio.ErrBufferFull) {
			line, err = r.buffered.ReadSlice('\n')
			r.long = append(r.long, line...)
		}
		line = r.long
	}
	if errors.Is(err, io.EOF) {
		return nil, io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	return line[:len(line)-1], nil
}

// parseStatusLine parses HTTP/D.D SP DDD [SP TEXT] (RFC 9112 section 4).
func parseStatusLine(line []byte) (head, error) {
	version, rest, ok := bytes.Cut(line, []byte(" "))
	if !ok {
		return head{}, fmt.Errorf("malformed HTTP response %q", line)
	}
	code, _, _ := bytes.Cut(bytes.TrimLeft(rest, " "), []byte(" "))
	if len(code) != 3 || !digit(code[0]) || !digit(code[1]) || !digit(code[2]) {
		return head{}, fmt.Errorf("malformed HTTP status code %q", code)
	}
	const form = "HTTP/1.1"
	if len(version) != len(form) || string(version[:5]) != form[:5] || !digit(version[5]) || version[6] != '.' || !digit(version[7]) {
		return head{}, fmt.Errorf("malformed HTTP version %q", version)
	}
	h := head{status: int(code[0]-'0')*100 + int(code[1]-'0')*10 + int(code[2]-'0')}
	h.old = string(version[5:]) < "1.1"
	return h, nil
}

func digit(b byte) bool { return b >= '0' && b <= '9' }

// field takes in a line of a header, and reports whether it is one that says where the body ends.
func (h *head) field(line []byte) (framing bool, err error) {
	name, value, err := parseField(line)
	switch {
	case err != nil:
		return false, err
	case is(name, "content-length"):
		return true, h.contentLength(value)
	case is(name, "transfer-encoding"):
		return true, h.transferEncoding(value)
	}
	return false, nil
}

// parseField parses NAME: VALUE (RFC 9112 section 5).
func parseField(line []byte) (name, value []byte, err error) {
	colon := bytes.IndexByte(line, ':')
	if colon < 1 || !token(line[:colon]) || !proper(line[colon:]) {
		return nil, nil, malformed(line)
	}
	return line[:colon], bytes.Trim(line[colon+1:], " \t"), nil
}

// contentLength takes in RFC 9112 section 6.2. Several of them must say the same.
func (h *head) contentLength(value []byte) error {
	n, err := strconv.ParseUint(string(value), 10, 63)
	switch {
	case err != nil:
		return fmt.Errorf("bad Content-Length %q", value)
	case h.length >= 0 && h.length != int64(n):
		return errors.New("several Content-Lengths that differ")
	}
	h.length = int64(n)
	return nil
}

// transferEncoding takes in RFC 9112 section 6.1. In HTTP/1.0 it means nothing.
func (h *head) transferEncoding(value []byte) error {
	switch {
	case h.old:
		return nil
	case h.chunked:
		return errors.New("too many transfer encodings")
	case !is(value, "chunked"):
		return fmt.Errorf("unsupported transfer encoding %q", value)
	}
	h.chunked = true
	return nil
}

// is reports whether text is a word, which is in lower case.
func is(text []byte, word string) bool {
	return len(text) == len(word) && strings.EqualFold(string(text), word)
}

func malformed(line []byte) error { return fmt.Errorf("malformed header line %q", line) }

// token reports whether text may be the name of a field (RFC 9110 section 5.6.2).
func token(text []byte) bool {
	for _, b := range text {
		if !tokens[b] {
			return false
		}
	}
	return true
}

// tokens are the octets that tokens are made of.
var tokens = func() (t [256]bool) {
	for _, b := range "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" {
		t[b] = true
	}
	return t
}()

// proper reports whether text has no control characters, except for tabs (RFC 9110 section 5.5).
func proper(text []byte) bool {
	for _, b := range text {
		if b < ' ' && b != '\t' || b == 0x7f {
			return false
		}
	}
	return true
}
