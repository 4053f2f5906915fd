package record

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"

	"failoverd/failover"
)

// ErrNoRecording is returned for what does not begin as a recording does.
var ErrNoRecording = errors.New("is not a recording of failoverd")

// FormatError is returned for a recording whose format is another one.
type FormatError struct{ Format int }

// Error implements error.
func (e *FormatError) Error() string {
	return fmt.Sprintf("is a recording of format %d; this program reads format %d", e.Format, Format)
}

// TornError says that what comes from a line on cannot be read: the machine has crashed, the disk was full, or somebody
// has changed it. Everything before is whole.
type TornError struct {
	Line int // counted from 1
	Why  string
}

// Error implements error.
func (e *TornError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Why) }

// Reader reads a recording line by line. It never keeps more than one line, of MaxLine octets at most, and a
// configuration.
type Reader struct {
	Header Header
	// Config is what the recorded agent began with, with substitutes for secrets.
	Config *failover.Config
	// Ended is the reason why the recording has ended; empty: it has not, or it was not written.
	Ended string

	r       *bufio.Reader
	number  int                      // of the line
	configs map[int]*failover.Config // that the next batch, or the last one, may name
}

// maxReloads is the most configurations that one batch may adopt: an agent has one or two.
const maxReloads = 64

// NewReader reads the first line. The error is ErrNoRecording, a *FormatError, or a *TornError.
func NewReader(from io.Reader) (*Reader, error) {
	r := &Reader{r: bufio.NewReaderSize(from, 64<<10)}
	if begin, _ := r.r.Peek(sumLen + len(magic)); !bytes.HasSuffix(begin, []byte(magic)) {
		return nil, ErrNoRecording
	}
	var l line
	if err := r.line(&l); err != nil {
		return nil, err
	}
	r.Header = *l.Header
	if r.Header.Format != Format {
		return nil, &FormatError{r.Header.Format}
	}
	cfg, err := restore(l.Config, l.Secrets)
	if err != nil {
		return nil, r.torn(err.Error())
	}
	r.Config = cfg
	return r, nil
}

// magic is how the object of the first line begins.
const magic = `{"failoverd_recording":`

// next returns the next batch; io.EOF: there is none, and nothing is missing but what may have come after the last line.
func (r *Reader) next() (*line, error) {
	clear(r.configs)
	for {
		l := line{Header: &Header{}}
		if err := r.line(&l); err != nil {
			return nil, err
		}
		switch {
		case l.End != "":
			r.Ended = l.End
			return nil, io.EOF
		case l.Config != nil:
			cfg, err := restore(l.Config, l.Secrets)
			if err != nil {
				return nil, r.torn(err.Error())
			}
			if len(r.configs) == maxReloads {
				return nil, r.torn(fmt.Sprintf("more than %d configurations in one batch", maxReloads))
			}
			if r.configs == nil {
				r.configs = make(map[int]*failover.Config)
			}
			r.configs[l.Number] = cfg
		default:
			return &l, nil
		}
	}
}

// configuration returns the one of that number.
func (r *Reader) configuration(number int) (*failover.Config, error) {
	cfg := r.configs[number]
	if cfg == nil {
		return nil, fmt.Errorf("configuration %d is missing", number)
	}
	return cfg, nil
}

func (r *Reader) torn(why string) error { return &TornError{r.number, why} }

// line reads one line.
func (r *Reader) line(l *line) error {
	r.number++
	var text []byte
	for {
		part, err := r.r.ReadSlice('\n')
		text = append(text, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull) && len(text) <= sumLen+MaxLine:
			continue
		case errors.Is(err, bufio.ErrBufferFull):
			return r.torn("is too long")
		case errors.Is(err, io.EOF) && len(text) == 0:
			return io.EOF
		case errors.Is(err, io.EOF):
			return r.torn("is not complete")
		case err != nil:
			return fmt.Errorf("read the recording: %w", err)
		}
		break
	}
	text = text[:len(text)-1]
	if len(text) < sumLen {
		return r.torn("has no checksum")
	}
	sum, err := strconv.ParseUint(string(text[:sumLen-1]), 16, 32)
	if err != nil || text[sumLen-1] != ' ' {
		return r.torn("has no checksum")
	}
	text = text[sumLen:]
	if crc32.Checksum(text, castagnoli) != uint32(sum) {
		return r.torn("has another checksum than its octets")
	}
	if err := json.Unmarshal(text, l); err != nil {
		return r.torn(err.Error())
	}
	return nil
}
