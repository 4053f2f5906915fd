package call

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"google.golang.org/grpc/codes"
)

// maxFrame is the most octets after the length of a frame. An UPDATE has 4096 at most, and what it is made of little more.
const maxFrame = 64 << 10

// What a frame is refused for.
var (
	errTooLong   = errors.New("frame too long")
	errTruncated = errors.New("frame too short for what it says")
)

// Both directions have frames: a length of four octets, big-endian, of what follows, and that is
//
//	request  deadline (8 octets: CLOCK_MONOTONIC in nanoseconds; 0: none)  length of the method (1)  method  protobuf message
//	answer   code (4 octets, gRPC's)  protobuf message if that is OK, otherwise a text
//
// There is one request at a time on a connection, so that an answer needs no number.

// request is what a client asks for.
type request struct {
	deadline int64  // CLOCK_MONOTONIC in nanoseconds; 0: none
	method   string // "/service/method", at most 255 octets
	body     []byte
}

// appendTo appends the frame of r to b.
func (r *request) appendTo(b []byte) ([]byte, error) {
	if len(r.method) > math.MaxUint8 {
		return nil, fmt.Errorf("method %.20s...: %w", r.method, errTooLong)
	}
	size := 8 + 1 + len(r.method) + len(r.body)
	if size > maxFrame {
		return nil, fmt.Errorf("request of %d octets: %w", size, errTooLong)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(size))
	b = binary.BigEndian.AppendUint64(b, uint64(r.deadline))
	b = append(b, byte(len(r.method)))
	b = append(b, r.method...)
	return append(b, r.body...), nil
}

// parseRequest reads a frame without its length. The body is part of b.
func parseRequest(b []byte) (request, error) {
	if len(b) < 9 {
		return request{}, errTruncated
	}
	r := request{deadline: int64(binary.BigEndian.Uint64(b))}
	n := int(b[8])
	if b = b[9:]; len(b) < n {
		return request{}, errTruncated
	}
	r.method, r.body = string(b[:n]), b[n:]
	return r, nil
}

// answer is what a server says to a request.
type answer struct {
	code codes.Code
	body []byte // a message, or why there is none
}

// appendTo appends the frame of a to b.
func (a *answer) appendTo(b []byte) ([]byte, error) {
	size := 4 + len(a.body)
	if size > maxFrame {
		return nil, fmt.Errorf("answer of %d octets: %w", size, errTooLong)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(size))
	b = binary.BigEndian.AppendUint32(b, uint32(a.code))
	return append(b, a.body...), nil
}

// parseAnswer reads a frame without its length. The body is part of b.
func parseAnswer(b []byte) (answer, error) {
	if len(b) < 4 {
		return answer{}, errTruncated
	}
	return answer{code: codes.Code(binary.BigEndian.Uint32(b)), body: b[4:]}, nil
}

// readFrame reads one frame and returns what follows its length, in buf if that is large enough. io.EOF means that there is no
// frame any more, io.ErrUnexpectedEOF that there is half of one.
func readFrame(r io.Reader, buf []byte) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxFrame {
		return nil, fmt.Errorf("%d octets: %w", n, errTooLong)
	}
	if uint32(cap(buf)) < n {
		buf = make([]byte, n)
	}
	buf = buf[:n]
	if _, err := io.ReadFull(r, buf); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return buf, nil
}
