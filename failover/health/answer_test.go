package health

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
)

// read reads an answer as a probe does, and returns what it says, or the error.
func read(conn io.Reader, method string) (status int, body string, err error) {
	r := readers.Get().(*reader)
	defer r.release()
	r.from(conn)
	a, err := r.answer(method)
	if err != nil {
		return 0, "", err
	}
	text, _, err := a.text()
	return a.status, string(text), err
}

// What ends a header, and a body, and what does not make sense. Each is read twice: as it may come, and octet by octet.
func TestAnswer(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	ended := io.ErrUnexpectedEOF.Error()
	for _, tt := range []struct {
		name, method, text string
		status             int
		body, err          string
	}{
		{"until the end", "GET", ok + "\r\nall", 200, "all", ""},
		{"a length", "GET", ok + "Content-Length: 3\r\n\r\nall is well", 200, "all", ""},
		{"a length of nothing", "GET", ok + "content-length: 0\r\n\r\nall", 200, "", ""},
		{"a length twice", "GET", ok + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nall!", 200, "all", ""},
		{"two lengths", "GET", ok + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nall!", 0, "", "several Content-Lengths that differ"},
		{"less than the length", "GET", ok + "Content-Length: 4\r\n\r\nall", 200, "all", ended},
		{"a length below nothing", "GET", ok + "Content-Length: -1\r\n\r\n", 0, "", `bad Content-Length "-1"`},
		{"a length with a sign", "GET", ok + "Content-Length: +1\r\n\r\n", 0, "", `bad Content-Length "+1"`},
		{"a length of too much", "GET", ok + "Content-Length: 9223372036854775808\r\n\r\n", 0, "", `bad Content-Length "9223372036854775808"`},
		{"chunks", "GET", ok + "Transfer-Encoding: Chunked\r\n\r\n3\r\nall\r\n00b ;x=y\r\n is well 12\r\n0\r\n\r\n", 200, "all is well 12", ""},
		{"chunks with a trailer", "GET", ok + "Transfer-Encoding: chunked\r\n\r\n3\r\nall\r\n0\r\nX: y\r\n\r\nmore", 200, "all", ""},
		{"chunks count, and not the length", "GET", ok + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nall\r\n0\r\n\r\n", 200, "all", ""},
		{"not so in HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n3", 200, "3", ""},
		{"chunks without an end", "GET", ok + "Transfer-Encoding: chunked\r\n\r\n3\r\nall\r\n", 200, "all", ended},
		{"a trailer that is none", "GET", ok + "Transfer-Encoding: chunked\r\n\r\n0\r\nX\r\n\r\n", 200, "", `malformed header line "X"`},
		{"half a chunk", "GET", ok + "Transfer-Encoding: chunked\r\n\r\n4\r\nall", 200, "all", ended},
		{"a trailer without an end", "GET", ok + "Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n", 200, "", ended},
		{"a chunk of no size", "GET", ok + "Transfer-Encoding: chunked\r\n\r\n\r\nall", 200, "", errChunk.Error()},
		{"a chunk of a strange size", "GET", ok + "Transfer-Encoding: chunked\r\n\r\n0x3\r\nall\r\n", 200, "", errChunk.Error()},
		{"a chunk of too much", "GET", ok + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nall\r\n", 200, "", errChunk.Error()},
		{"a line of a chunk that ends with LF", "GET", ok + "Transfer-Encoding: chunked\r\n\r\n3\nall\r\n0\r\n\r\n", 200, "", errChunk.Error()},
		{"a chunk that goes on", "GET", ok + "Transfer-Encoding: chunked\r\n\r\n3\r\nall is well\r\n", 200, "all", errChunk.Error()},
		{"another encoding", "GET", ok + "Transfer-Encoding: gzip\r\n\r\n", 0, "", `unsupported transfer encoding "gzip"`},
		{"two encodings", "GET", ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 0, "", "too many transfer encodings"},
		{"no body for HEAD", "HEAD", ok + "Content-Length: 3\r\n\r\n", 200, "", ""},
		{"no body for 204", "GET", "HTTP/1.1 204 No Content\r\n\r\nall", 204, "", ""},
		{"no body for 304", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\nall", 304, "", ""},
		{"lines that end with LF", "GET", "HTTP/1.1 200\nContent-Length: 3\n\nall", 200, "all", ""},
		{"no text of the status", "GET", "HTTP/1.1 200\r\n\r\nall", 200, "all", ""},
		{"interim answers", "GET", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok + "\r\nall", 200, "all", ""},
		{"nothing but interim answers", "GET", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 9), 0, "", "too many interim answers"},
		{"another protocol instead", "GET", "HTTP/1.1 101 Switching Protocols\r\n\r\nall", 101, "", ""},
		{"fields on several lines", "GET", ok + "X: y\r\n  z\r\n\tw\r\nContent-Length: 3\r\n\r\nall!", 200, "all", ""},
		{"a length on several lines", "GET", ok + "Content-Length: 3\r\n 4\r\n\r\nall", 0, "", `malformed header line " 4"`},
		{"a line that goes on before there is one", "GET", ok + " X: y\r\n\r\nall", 0, "", `malformed header line " X: y"`},
		{"a long line", "GET", ok + "X: " + strings.Repeat("x", 20000) + "\r\nContent-Length: 3\r\n\r\nall!", 200, "all", ""},
		{"a header that is too long", "GET", ok + strings.Repeat("X: "+strings.Repeat("x", 1000)+"\r\n", 70) + "\r\nall", 0, "", "the header of the answer is too long"},
		{"a line that is too long", "GET", ok + "X: " + strings.Repeat("x", 70000) + "\r\n\r\nall", 0, "", "the header of the answer is too long"},
		{"a line without a colon", "GET", ok + "X\r\n\r\nall", 0, "", `malformed header line "X"`},
		{"a line without a name", "GET", ok + ": y\r\n\r\nall", 0, "", `malformed header line ": y"`},
		{"a blank before the colon", "GET", ok + "X : y\r\n\r\nall", 0, "", `malformed header line "X : y"`},
		{"a control character", "GET", ok + "X: \x00\r\n\r\nall", 0, "", `malformed header line "X: \x00"`},
		{"another protocol", "GET", "220 mail.example ESMTP\r\n", 0, "", `malformed HTTP status code "mail.example"`},
		{"one word", "GET", "hello\r\n", 0, "", `malformed HTTP response "hello"`},
		{"another version", "GET", "HTTP/11 200 OK\r\n\r\n", 0, "", `malformed HTTP version "HTTP/11"`},
		{"a status of two digits", "GET", "HTTP/1.1 20 OK\r\n\r\n", 0, "", `malformed HTTP status code "20"`},
		{"a status that is none", "GET", "HTTP/1.1 2x0 OK\r\n\r\n", 0, "", `malformed HTTP status code "2x0"`},
		{"nothing", "GET", "", 0, "", ended},
		{"half a line", "GET", "HTTP/1.1 20", 0, "", ended},
		{"half a header", "GET", ok + "X: y\r\n", 0, "", ended},
	} {
		for how, conn := range map[string]io.Reader{"": strings.NewReader(tt.text), ", octet by octet": iotest.OneByteReader(strings.NewReader(tt.text))} {
			status, body, err := read(conn, tt.method)
			got := ""
			if err != nil {
				got = err.Error()
			}
			if status != tt.status || body != tt.body || got != tt.err {
				t.Errorf("%s%s: %d %q %s, want %d %q %s", tt.name, how, status, body, got, tt.status, tt.body, tt.err)
			}
		}
	}
}

// Of a body that is too long the beginning is what counts, and it is said that it is too long.
func TestLongAnswer(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		over       bool
	}{
		{"one octet less", "HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat("x", maxBody-1), false},
		{"until the end", "HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat("x", maxBody+1), true},
		{"a length", "HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n" + strings.Repeat("x", 999999), true},
		{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("4\r\nxxxx\r\n", maxBody/2), true},
	} {
		r := readers.Get().(*reader)
		r.from(strings.NewReader(tt.text))
		a, err := r.answer("GET")
		if err != nil {
			t.Fatal(err)
		}
		if text, over, _ := a.text(); over != tt.over || len(text) > maxBody || strings.Trim(string(text), "x") != "" {
			t.Errorf("%s: %d octets, over %v", tt.name, len(text), over)
		}
		r.release()
	}
}

// FuzzAnswer holds the reader against that of package net/http. Whatever this one takes, that one takes, too, and understands in the
// same way.
func FuzzAnswer(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX: y\r\n\r\nall", false)
	f.Add("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nall\r\n0\r\nX: y\r\n\r\n", false)
	f.Add("HTTP/1.0 503 Sorry\nA: b\n c\n\nall", true)
	f.Add("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", false)
	f.Fuzz(func(t *testing.T, text string, head bool) {
		method := map[bool]string{false: "GET", true: "HEAD"}[head]
		status, body, err := read(iotest.HalfReader(strings.NewReader(text)), method)
		if status == 0 || len(text) > 4000 { // theirs does not like long trailers
			return
		}
		theirs, theirErr := reference(text, method)
		if theirErr != nil {
			t.Fatalf("taken, but package net/http says: %v", theirErr)
		}
		if status != theirs.StatusCode {
			t.Fatalf("status %d, want %d", status, theirs.StatusCode)
		}
		their, theirErr := io.ReadAll(theirs.Body)
		if err == nil && (theirErr != nil || body != string(their)) {
			t.Fatalf("body %q, want %q %v", body, their, theirErr)
		}
		if err != nil && !bytes.HasPrefix(their, []byte(body)) && !strings.HasPrefix(body, string(their)) {
			t.Fatalf("body %q %v, want %q", body, err, their)
		}
	})
}

// reference reads an answer with package net/http.
func reference(text, method string) (*http.Response, error) {
	r := bufio.NewReader(strings.NewReader(text))
	for {
		a, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil || a.StatusCode >= 200 || a.StatusCode == http.StatusSwitchingProtocols {
			return a, err
		}
	}
}
