package health

import (
	"errors"
	"io/fs"
	"math"
	"strconv"
	"strings"

	"failoverd/failover"
)

// number returns what keepalived makes of a file's content: the integer at its beginning, after blanks, and 0 if there
// is none (ok is false then); beyond 32 bits it is the nearest that fits. odd says what else is there, for a warning; empty:
// nothing.
func number(content string) (n int, odd string, ok bool) {
	text := strings.TrimLeft(content, " \t\n\v\f\r")
	end := 0
	if text != "" && (text[0] == '-' || text[0] == '+') {
		end = 1
	}
	first := end
	for end < len(text) && text[end] >= '0' && text[end] <= '9' {
		end++
	}
	if end == first {
		if text == "" {
			return 0, "", false
		}
		return 0, strconv.Quote(harmless(text)) + " is not a number" + failover.TakenAsZero, false
	}
	v, err := strconv.ParseInt(text[:end], 10, 32) // out of range: the nearest
	switch rest := strings.TrimSpace(text[end:]); {
	case err != nil:
		odd = text[:end] + " does not fit into 32 bits, taken as " + strconv.FormatInt(v, 10)
	case rest != "":
		odd = strconv.Quote(harmless(rest)) + " after the number " + text[:end]
	}
	return int(max(math.MinInt32, min(v, math.MaxInt32))), odd, true
}

// reading is what was found in a file.
type reading struct {
	value int
	none  bool // there is no number in it
	// blank: the file is missing or empty. That may be the moment between two steps of whoever writes it.
	blank bool
	cause string // in words
	odd   string // what is wrong with the content, though it has a value
	err   error  // it cannot be read
}

func newReading(content string, err error) reading {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return reading{none: true, blank: true, cause: "no such file" + failover.TakenAsZero}
	case err != nil:
		return reading{err: err, cause: "cannot be read: " + plain(err)}
	case strings.TrimSpace(content) == "":
		return reading{none: true, blank: true, cause: "empty" + failover.TakenAsZero}
	}
	r := reading{}
	var ok bool
	r.value, r.odd, ok = number(content)
	r.none = !ok
	r.cause = "the file says " + strconv.Itoa(r.value)
	if r.odd != "" {
		r.cause = r.odd
	}
	return r
}
