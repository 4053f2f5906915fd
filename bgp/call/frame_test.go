package call

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"testing"

	"google.golang.org/grpc/codes"
)

// What is written is what is read.
func TestFrames(t *testing.T) {
	t.Parallel()
	r := request{deadline: 1<<62 + 5, method: sayMethod, body: []byte("body")}
	b, err := r.appendTo([]byte("before"))
	if err != nil {
		t.Fatal(err)
	}
	a := answer{code: codes.NotFound, body: []byte("why")}
	if b, err = a.appendTo(b); err != nil {
		t.Fatal(err)
	}
	in := bytes.NewReader(b[len("before"):])
	frame, err := readFrame(in, make([]byte, 3))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := parseRequest(frame); err != nil || got.deadline != r.deadline || got.method != r.method || !bytes.Equal(got.body, r.body) {
		t.Errorf("request %+v, %v", got, err)
	}
	if frame, err = readFrame(in, frame); err != nil {
		t.Fatal(err)
	}
	if got, err := parseAnswer(frame); err != nil || got.code != a.code || !bytes.Equal(got.body, a.body) {
		t.Errorf("answer %+v, %v", got, err)
	}
	if _, err := readFrame(in, frame); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}

func TestBadFrames(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, in string
		want     error
	}{
		{"nothing", "", io.EOF},
		{"half a length", "\x00\x00", io.ErrUnexpectedEOF},
		{"a length alone", "\x00\x00\x00\x05", io.ErrUnexpectedEOF},
		{"half", "\x00\x00\x00\x05\x00\x00", io.ErrUnexpectedEOF},
		{"too long", "\x00\x01\x00\x01", errTooLong},
		{"the longest number", "\xff\xff\xff\xff", errTooLong},
	} {
		if _, err := readFrame(bytes.NewReader([]byte(row.in)), nil); !errors.Is(err, row.want) {
			t.Errorf("%s: %v, want %v", row.name, err, row.want)
		}
	}
	for _, b := range []string{"", "12345678", "12345678\x01", "12345678\xff" + sayMethod} {
		if _, err := parseRequest([]byte(b)); !errors.Is(err, errTruncated) {
			t.Errorf("request %q: %v", b, err)
		}
	}
	if _, err := parseAnswer([]byte("123")); !errors.Is(err, errTruncated) {
		t.Errorf("answer: %v", err)
	}
}

// stream is a connection whose other end has said everything already.
type stream struct {
	io.Reader
	bytes.Buffer
}

func (s *stream) Read(p []byte) (int, error) { return s.Reader.Read(p) }

// FuzzServe feeds a server with anything: it answers what is a request, with frames as they should be, and gives up at the first
// thing that is none.
func FuzzServe(f *testing.F) {
	add := func(deadline int64, method, body string) []byte {
		b, err := (&request{deadline: deadline, method: method, body: []byte(body)}).appendTo(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		return b
	}
	good := add(0, sayMethod, "\n\x01x")
	late := add(1, sayMethod, "\n\x01x")
	add(0, sayMethod, "\xff\xff")
	add(0, "/test.Echo/Hidden", "")
	f.Add(append(append(good, late...), good...))
	f.Add([]byte("\x00\x00\x00\x00"))
	f.Add([]byte("\x00\x01\x00\x00"))
	f.Fuzz(func(t *testing.T, in []byte) {
		hold := make(chan struct{})
		close(hold)
		s := NewServer(slog.New(slog.DiscardHandler), &echoDesc, &echo{hold: hold}, []string{"Say"})
		conn := &stream{Reader: bytes.NewReader(in)}
		if err := s.serve(conn); err == nil {
			t.Error("no reason for the end")
		}
		out := bytes.NewReader(conn.Bytes())
		for out.Len() > 0 {
			b, err := readFrame(out, nil)
			if err == nil {
				_, err = parseAnswer(b)
			}
			if err != nil {
				t.Fatalf("answer: %v", err)
			}
		}
	})
}
