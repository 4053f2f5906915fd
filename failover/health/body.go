package health

import (
	"bytes"
	"errors"
	"io"
	"net/http"
)

// body reads what follows a header (RFC 9112 section 6.3): a number of octets, chunks, or all that comes until the connection is
// closed.
type body struct {
	r       *reader
	left    int64 // of the length, or of the chunk; -1: until the connection is closed
	chunked bool
	begun   bool  // there was a chunk before
	err     error // what ended it
}

// newBody returns the body that follows a header which is the answer to a request by a method.
func newBody(r *reader, h head, method string) body {
	switch {
	case method == http.MethodHead, h.status < 200, h.status == http.StatusNoContent, h.status == http.StatusNotModified:
		return body{r: r, err: io.EOF}
	case h.chunked:
		return body{r: r, chunked: true}
	}
	return body{r: r, left: h.length}
}

// Read implements io.Reader. An end that comes too early is io.ErrUnexpectedEOF.
func (b *body) Read(p []byte) (n int, err error) {
	if b.err == nil && b.left == 0 {
		b.err = b.next()
	}
	if b.err != nil || len(p) == 0 {
		return 0, b.err
	}
	if b.left > 0 && int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, b.err = b.r.buffered.Read(p)
	if b.left > 0 {
		b.left -= int64(n)
		b.err = early(b.err)
	}
	return n, b.err
}

// next goes on to the next chunk. io.EOF: there is none.
func (b *body) next() error {
	if !b.chunked {
		return io.EOF
	}
	if b.begun {
		switch line, err := b.line(); {
		case err != nil:
			return err
		case len(line) > 0:
			return errChunk
		}
	}
	b.begun = true
	line, err := b.line()
	if err != nil {
		return err
	}
	if b.left, err = parseChunkSize(line); err != nil || b.left > 0 {
		return err
	}
	return b.trailer()
}

// trailer reads the fields after the last chunk, which say nothing that matters.
func (b *body) trailer() error {
	for {
		line, err := b.line()
		switch {
		case err != nil:
			return err
		case len(line) == 0:
			return io.EOF
		}
		if _, _, err := parseField(line); err != nil {
			return err
		}
	}
}

// line reads a line between chunks. It ends with CRLF, and nothing less.
func (b *body) line() ([]byte, error) {
	line, err := b.r.upToLF()
	if err != nil {
		return nil, err
	}
	line, ok := bytes.CutSuffix(line, []byte("\r"))
	if !ok {
		return nil, errChunk
	}
	return line, nil
}

var errChunk = errors.New("malformed chunked encoding")

// parseChunkSize parses HEX [;EXTENSION] (RFC 9112 section 7.1).
func parseChunkSize(line []byte) (n int64, err error) {
	text, _, _ := bytes.Cut(line, []byte(";"))
	text = bytes.TrimRight(text, " \t")
	const most = 15 // digits: it is an int64 that is not negative
	if len(text) == 0 || len(text) > most {
		return 0, errChunk
	}
	for _, c := range text {
		switch {
		case digit(c):
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, errChunk
		}
		n = n<<4 | int64(c)
	}
	return n, nil
}

// early is what an end means where there should be more.
func early(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
