// Package record writes down what a failover.Core was told and what it decided, and decides it again from that: the core
// is pure, so the same inputs at the same instants give the same effects. It opens no file: lines go to and come from
// whoever has one.
//
// A recording is text, a line for each batch of the loop: a checksum (CRC-32C of the rest, eight hexadecimal digits), a
// blank, and a JSON object. So people and grep can read it, one that another version of the program has written can be
// read as far as it means the same, and of a torn one everything up to the last whole line counts. The first line is the
// Header.
//
// Core is what an agent uses in place of failover.Core, Reader and Replay are for those who look at it later. What must
// not leave the machine is replaced (secrets.go) before a line is made.
package record

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"time"

	"failoverd/failover"
	"failoverd/vrrp"
)

// Format is the version of the format. A reader refuses others: what a word means would be a guess.
const Format = 1

// MaxLine is the most octets of a line. The configuration of 10000 routers takes about 20 MB.
const MaxLine = 128 << 20

// Header is the first line: where a recording comes from, and what the core began with.
type Header struct {
	Format  int    `json:"failoverd_recording"`
	Program string `json:"program"` // the version of the program
	Host    string `json:"host"`
	File    string `json:"file"` // the configuration file
	PID     int    `json:"pid,omitempty"`
	BootID  string `json:"boot_id,omitempty"`
	// Start is the instant at which the core was made, Wall the wall clock then, in nanoseconds since the Unix epoch.
	Start vrrp.Instant `json:"start"`
	Wall  int64        `json:"wall"`
}

// Began returns the wall-clock time of the begin.
func (h *Header) Began() time.Time { return time.Unix(0, h.Wall) }

// Entry is one line on its way to a file. What takes long to put into words is done by Append, which any goroutine may
// call.
type Entry struct {
	text    []byte           // of a batch, complete
	header  *Header          // of the first line
	config  *failover.Config // of the first line, and of those that bring another configuration
	number  int              // of config
	secrets *secrets
	end     string
}

// End returns the last entry of a recording, with the reason why there is no more.
func End(reason string) Entry { return Entry{end: reason} }

// Append appends the line, with its line break. The error says that a configuration cannot be recorded.
func (e Entry) Append(b []byte) ([]byte, error) {
	switch {
	case e.text != nil:
		return frame(b, e.text), nil
	case e.end != "":
		text, err := json.Marshal(line{End: e.end})
		if err != nil {
			return b, fmt.Errorf("record the end: %w", err)
		}
		return frame(b, text), nil
	}
	l := line{Header: e.header, Number: e.number}
	cfg, keys, err := e.secrets.redact(e.config)
	if err == nil {
		l.Config, l.Secrets = cfg, keys
		var text []byte
		if text, err = json.Marshal(&l); err == nil && len(text) > MaxLine {
			err = fmt.Errorf("%d octets are too many", len(text))
		}
		if err == nil {
			return frame(b, text), nil
		}
	}
	return b, fmt.Errorf("record the configuration: %w", err)
}

// line is any line of a recording.
type line struct {
	*Header
	// Config is a configuration without its secrets, Number the one that Reconfigured names; Secrets stand for keys
	// that have no JSON, in the order of the routers.
	Config  json.RawMessage `json:"config,omitempty"`
	Number  int             `json:"number,omitempty"`
	Secrets [][]byte        `json:"secrets,omitempty"`
	// Ops are the calls of a batch, in order. At is the instant of the first one.
	At  vrrp.Instant `json:"at,omitempty"`
	Ops []op         `json:"ops,omitempty"`
	// End is why the recording ends.
	End string `json:"end,omitempty"`
}

// op is one call of the core.
type op struct {
	After int64  `json:"after,omitempty"` // nanoseconds since the call before
	Wall  *int64 `json:"wall,omitempty"`  // the wall clock less the instant, when it has changed

	Packet   *packet         `json:"packet,omitempty"`
	Input    string          `json:"input,omitempty"` // its kind
	With     json.RawMessage `json:"with,omitempty"`
	Call     string          `json:"call,omitempty"` // another method
	Decision *Decision       `json:"decided,omitempty"`
	// Refused is the wire.DropReason of a packet; 0: accepted.
	Refused uint8 `json:"refused,omitempty"`
}

// Names of op.Call.
const (
	callExpire    = "expire"
	callFlush     = "flush"
	callSnapshot  = "snapshot"
	callTestament = "testament"
	callInherit   = "inherit"
	callRecall    = "recall"
	callAwait     = "await"
	callUnready   = "unready"
	callTakeUp    = "take_up"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const sumLen = 9 // eight digits and a blank

// frame appends a line with its checksum.
func frame(b, text []byte) []byte {
	b = fmt.Appendf(b, "%08x ", crc32.Checksum(text, castagnoli))
	b = append(b, text...)
	return append(b, '\n')
}

// None reports whether e is the zero value, which is no line.
func (e Entry) None() bool { return e.text == nil && e.config == nil && e.end == "" }

// Len returns how many octets of memory the entry keeps until it is written, roughly: what a configuration takes in a
// recording is not known before.
func (e Entry) Len() int { return len(e.text) + sumLen + 1 }
