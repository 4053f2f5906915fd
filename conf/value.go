package conf

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"failoverd/vrrp/wire"
)

// field is a value of a draft. A value that was given but is wrong is given and not ok: it has been reported, and what
// depends on it is not worth a second report.
type field[T any] struct {
	value T
	at    Token // the value's word, or the keyword when there is none
	given bool
	ok    bool
}

// set takes what the functions below return. The last one given wins.
func (f *field[T]) set(v T, at Token, ok bool) { *f = field[T]{v, at, true, ok} }

// or returns the value, or def when there is none.
func (f *field[T]) or(def T) T {
	if f.ok {
		return f.value
	}
	return def
}

// sound reports whether the value is not wrong: there is a good one, or none.
func (f *field[T]) sound() bool { return f.ok || !f.given }

// missing reports whether the keyword was not there at all.
func (f *field[T]) missing() bool { return !f.given }

// next returns the keyword's next value. want says what it should be.
func (d *decoder) next(c *cursor, want string) (Token, bool) {
	if !c.needed() {
		d.errorf(c.keyword, "%s: its value is missing (want %s)", c.keyword.Text, want)
		return c.keyword, false
	}
	t := c.take()
	switch {
	case strings.HasPrefix(t.Text, "'") && !t.Quoted:
		for last := t; !strings.HasSuffix(last.Text, "'") || last == t && len(t.Text) == 1; {
			if !c.value() {
				break
			}
			last = c.take()
		}
		d.errorf(t, "%s: single quotes do not quote here; use double quotes", c.keyword.Text)
		return t, false
	case t.Text == "":
		d.errorf(t, "%s: its value is empty (want %s)", c.keyword.Text, want)
		return t, false
	}
	return t, true
}

// text returns a value of any form.
func (d *decoder) text(c *cursor, want string) (string, Token, bool) {
	t, ok := d.next(c, want)
	return t.Text, t, ok
}

// oneOf returns one of a few words.
func (d *decoder) oneOf(c *cursor, words ...string) (string, Token, bool) {
	want := strings.Join(words, " or ")
	t, ok := d.next(c, want)
	if !ok {
		return "", t, false
	}
	for _, w := range words {
		if t.Text == w {
			return w, t, true
		}
	}
	d.suggestf(t, d.nearest(t.Text, words), "%s %q: want %s", c.keyword.Text, t.Text, want)
	return "", t, false
}

// switched returns an optional on|off|true|false|yes|no; without one the keyword means on.
func (d *decoder) switched(c *cursor) (bool, Token, bool) {
	if !c.value() {
		return true, c.keyword, true
	}
	t := c.take()
	switch t.Text {
	case "on", "true", "yes":
		return true, t, true
	case "off", "false", "no":
		return false, t, true
	}
	d.errorf(t, "%s %q: want on, off, true, false, yes or no", c.keyword.Text, t.Text)
	return false, t, false
}

// number returns a whole number from lo to hi.
func (d *decoder) number(c *cursor, lo, hi uint64) (uint64, Token, bool) {
	want := strconv.FormatUint(lo, 10) + " to " + strconv.FormatUint(hi, 10)
	t, ok := d.next(c, want)
	if !ok {
		return 0, t, false
	}
	n, err := strconv.ParseUint(t.Text, 10, 64)
	switch {
	case err != nil && !digits(t.Text):
		d.errorf(t, "%s %q: not a whole number (want %s)", c.keyword.Text, t.Text, want)
		return 0, t, false
	case err != nil || n < lo || n > hi:
		d.errorf(t, "%s %s: out of range (want %s)", c.keyword.Text, t.Text, want)
		return 0, t, false
	}
	return n, t, true
}

func digits(s string) bool { return strings.Trim(s, "0123456789") == "" }

func (d *decoder) uint8(c *cursor, lo, hi uint8) (uint8, Token, bool) {
	n, t, ok := d.number(c, uint64(lo), uint64(hi))
	return uint8(n), t, ok
}

func (d *decoder) uint16(c *cursor, lo, hi uint16) (uint16, Token, bool) {
	n, t, ok := d.number(c, uint64(lo), uint64(hi))
	return uint16(n), t, ok
}

func (d *decoder) uint32(c *cursor, lo, hi uint32) (uint32, Token, bool) {
	n, t, ok := d.number(c, uint64(lo), uint64(hi))
	return uint32(n), t, ok
}

func (d *decoder) int(c *cursor, lo, hi int) (int, Token, bool) {
	n, t, ok := d.number(c, uint64(lo), uint64(hi))
	return int(n), t, ok
}

// signed returns a whole number from -limit to limit.
func (d *decoder) signed(c *cursor, limit int) (int, Token, bool) { return d.between(c, -limit, limit) }

// between returns a whole number from lo to hi, either of which may be negative.
func (d *decoder) between(c *cursor, lo, hi int) (int, Token, bool) {
	want := fmt.Sprintf("%d to %d", lo, hi)
	t, ok := d.next(c, want)
	if !ok {
		return 0, t, false
	}
	n, err := strconv.Atoi(t.Text)
	switch {
	case errors.Is(err, strconv.ErrSyntax):
		d.errorf(t, "%s %q: not a whole number (want %s)", c.keyword.Text, t.Text, want)
		return 0, t, false
	case err != nil || n < lo || n > hi:
		d.errorf(t, "%s %s: out of range (want %s)", c.keyword.Text, t.Text, want)
		return 0, t, false
	}
	return n, t, true
}

// whole returns a number of whole seconds.
func (d *decoder) whole(c *cursor, lo, hi uint64) (time.Duration, Token, bool) {
	n, t, ok := d.number(c, lo, hi)
	return time.Duration(n) * time.Second, t, ok
}

// seconds returns a time in seconds, with a fraction perhaps, from lo to hi.
func (d *decoder) seconds(c *cursor, lo, hi time.Duration) (time.Duration, Token, bool) {
	want := formatSeconds(lo) + " to " + formatSeconds(hi) + " seconds"
	t, ok := d.next(c, want)
	if !ok {
		return 0, t, false
	}
	v, ok := parseSeconds(t.Text)
	switch {
	case !ok:
		d.errorf(t, "%s %q: not a number of seconds (want %s)", c.keyword.Text, t.Text, want)
	case v < lo || v > hi:
		d.errorf(t, "%s %s: out of range (want %s)", c.keyword.Text, t.Text, want)
		ok = false
	}
	return v, t, ok
}

// parseSeconds reads decimal seconds exactly, down to a nanosecond.
func parseSeconds(s string) (time.Duration, bool) {
	whole, frac, dot := strings.Cut(s, ".")
	if whole == "" && frac == "" || !digits(whole) || !digits(frac) || dot && whole+frac == "" {
		return 0, false
	}
	frac = strings.TrimRight(frac, "0")
	if whole = strings.TrimLeft(whole, "0"); len(whole) > 9 || len(frac) > 9 {
		// Beyond every range there is; the caller says which.
		return 1<<63 - 1, len(frac) <= 9
	}
	n, err := strconv.ParseInt("0"+whole+frac+strings.Repeat("0", 9-len(frac)), 10, 64)
	return time.Duration(n), err == nil
}

// formatSeconds returns a duration as decimal seconds, which parseSeconds reads back.
func formatSeconds(v time.Duration) string {
	s := strconv.FormatInt(int64(v/time.Second), 10)
	if frac := v % time.Second; frac != 0 {
		f := strconv.FormatInt(int64(frac)+1e9, 10)[1:]
		s += "." + strings.TrimRight(f, "0")
	}
	return s
}

// address returns an IP address. withLength allows the /LENGTH that keepalived ignores.
func (d *decoder) address(c *cursor, withLength bool) (netip.Addr, Token, bool) {
	t, ok := d.next(c, "an IP address")
	if !ok {
		return netip.Addr{}, t, false
	}
	a, ok := d.parseAddress(t, c.keyword.Text, withLength)
	return a, t, ok
}

func (d *decoder) parseAddress(t Token, what string, withLength bool) (netip.Addr, bool) {
	s := t.Text
	if withLength && strings.Contains(s, "/") {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			d.errorf(t, "%s %q: not an IP address", what, t.Text)
			return netip.Addr{}, false
		}
		s = p.Addr().String()
	}
	a, err := netip.ParseAddr(s)
	switch {
	case err != nil || a.Is4In6() || a.Zone() != "":
		d.errorf(t, "%s %q: not an IP address", what, t.Text)
	case !host(a):
		d.errorf(t, "%s %s: not the address of a host", what, t.Text)
	default:
		return a, true
	}
	return netip.Addr{}, false
}

// host reports whether a can be the address of a host.
func host(a netip.Addr) bool {
	return !a.IsUnspecified() && !a.IsMulticast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// network returns a prefix without host bits.
func (d *decoder) network(t Token, what string) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(t.Text)
	switch {
	case err != nil || p.Addr().Is4In6():
		d.errorf(t, "%s %q: not a prefix (want ADDRESS/LENGTH)", what, t.Text)
	case p.Masked() != p:
		d.suggestf(t, p.Masked().String(), "%s %s: bits behind the prefix length are set", what, t.Text)
	default:
		return p, true
	}
	return netip.Prefix{}, false
}

// maxInterfaceName is IFNAMSIZ-1 of Linux.
const maxInterfaceName = 15

// device returns the name of a network interface.
func (d *decoder) device(c *cursor) (string, Token, bool) {
	t, ok := d.next(c, "the name of an interface")
	if !ok || !d.isDevice(t, c.keyword.Text) {
		return "", t, false
	}
	return t.Text, t, true
}

// isDevice reports whether a word can be the name of a network interface, and says why not.
func (d *decoder) isDevice(t Token, what string) bool {
	switch {
	case len(t.Text) > maxInterfaceName:
		d.errorf(t, "%s %q: the name of an interface has at most %d characters", what, t.Text, maxInterfaceName)
	case t.Text == "" || strings.ContainsFunc(t.Text, notInDevice) || t.Text == "." || t.Text == ".." || isAddress(t.Text):
		d.errorf(t, "%s %q: not the name of an interface", what, t.Text)
	default:
		return true
	}
	return false
}

// file returns the absolute path of a file. A relative one would depend on where the agent was started.
func (d *decoder) file(c *cursor) (string, Token, bool) {
	s, t, ok := d.text(c, "an absolute path")
	if ok && (!strings.HasPrefix(s, "/") || strings.IndexByte(s, 0) >= 0) {
		d.errorf(t, "%s %q: want an absolute path", c.keyword.Text, s)
		ok = false
	}
	return s, t, ok
}

// user returns the name or number of a user or a group.
func (d *decoder) user(c *cursor, want string) (string, Token, bool) {
	s, t, ok := d.text(c, want)
	if ok && (strings.ContainsFunc(s, notInUser) || s[0] == '-') {
		d.errorf(t, "%s %q: not %s; a command with arguments stands in double quotes", c.keyword.Text, s, want)
		ok = false
	}
	return s, t, ok
}

// notInUser reports whether a character is none of the name of a user: what passwd(5) and shells give a meaning to.
func notInUser(r rune) bool {
	return r <= ' ' || r == 0x7f || strings.ContainsRune("/:,\"'\\{}#!$@~=;|&<>()*?`", r)
}

// notInDevice reports whether a character is none of an interface's name. The kernel refuses blanks, slashes and colons;
// marks of this language have never been seen in one.
func notInDevice(r rune) bool {
	return r <= ' ' || r >= 0x7f || strings.ContainsRune("/:\"'\\{}#!$", r)
}

// centiseconds converts an interval of whole centiseconds; otherwise it returns the nearest ones below and above.
func centiseconds(v time.Duration) (cs wire.Centiseconds, below, above time.Duration, ok bool) {
	const unit = 10 * time.Millisecond
	below = v / unit * unit
	if below == v {
		return wire.Centiseconds(v / unit), v, v, true
	}
	return 0, below, below + unit, false
}
