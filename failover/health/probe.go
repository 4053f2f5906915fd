package health

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"failoverd/failover"
)

// killGrace is the time between the polite and the hard way to end a script.
const killGrace = 2 * time.Second

// policy says what commands may be run, and how.
type policy struct{ security, supplementaryGroups bool }

// runner runs a command once. It returns when the command has ended, at the latest when ctx is done and the command
// killed. It calls output with each line that is written.
type runner func(ctx context.Context, c failover.Command, p policy, timeout time.Duration, output func(string)) outcome

// outcome is what became of one check.
type outcome struct {
	ok    bool
	blind bool          // this node cannot look; never with ok. Scripts cannot say so.
	keep  bool          // there is nothing to go by, and what was found before counts; with blind, which counts if nothing was
	rtt   time.Duration // how long it took, if that was measured
	cause string        // in words, without anything that changes from one failure to the next
	said  string        // the last line of output or another detail, made harmless
	// warning is what is wrong and no failure, without anything that changes from one time to the next. Only health checks have any.
	warning string
}

func (o *outcome) result() result {
	switch {
	case o.ok:
		return good
	case o.blind:
		return blind
	}
	return bad
}

// reason puts an outcome that happened n times in a row into words.
func (o *outcome) reason(n int) string {
	s := o.cause
	if n > 1 {
		s += ", " + strconv.Itoa(n) + " in a row"
	}
	if !o.ok && o.said != "" {
		s += ": " + o.said
	}
	return s
}

// lastLine keeps the last line with something in it. It may be used from any goroutine.
type lastLine struct {
	mu   sync.Mutex
	line string
}

func (l *lastLine) note(line string) {
	if line = harmless(line); line != "" {
		l.mu.Lock()
		l.line = line
		l.mu.Unlock()
	}
}

func (l *lastLine) get() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.line
}

// maxWords bounds what a script can put into a reason, in octets.
const maxWords = 160

// harmless makes text from outside fit for one line of a status: bounded, and without control characters.
func harmless(s string) string {
	cut := len(s) > maxWords
	if cut {
		s = s[:maxWords]
	}
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	s = strings.TrimSpace(s)
	if cut {
		s += "..."
	}
	return s
}
