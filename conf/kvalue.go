package conf

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// This file holds what the entries of routes and rules have in common: options that stand once, numbers with names,
// networks of either family.

// option is a keyword of an entry with its synonyms. It sets one value. Elsewhere the last of several values wins; inside
// an entry, where the words of two entries may have run together, a second one is an error.
func option[T, V any](of func(T) *field[V], read func(*decoder, *cursor) (V, Token, bool), names ...string) []row[T] {
	rows := make([]row[T], len(names))
	for i, n := range names {
		rows[i] = word(n, func(d *decoder, to T, c *cursor) {
			f, at := of(to), c.keyword
			v, place, ok := read(d, c)
			if f.given {
				d.errorf(at, "%s is given twice, first at %s; each entry takes a line of its own", at.Text, f.at.Pos)
				return
			}
			f.set(v, place, ok)
		})
	}
	return rows
}

// deprecated makes a keyword one that says what to write instead.
func deprecated[T any](r row[T], instead string) row[T] {
	decode := r.decode
	r.decode = func(d *decoder, to T, c *cursor) {
		d.warnf(c.keyword, "%s is deprecated: write %s", c.keyword.Text, instead)
		decode(d, to, c)
	}
	return r
}

// unsupported are keywords of entries that are refused with the value that each of them takes.
func unsupported[T any](s status, note string, names ...string) []row[T] {
	rows := all[T](s, "", note, names...)
	for i := range rows {
		rows[i].valued = true
	}
	return rows
}

// present is the value of an option that has none.
func present(_ *decoder, c *cursor) (bool, Token, bool) { return true, c.keyword, true }

// wrong reports whether something was found to be an error since there were that many findings.
func (d *decoder) wrong(since int) bool {
	return slices.ContainsFunc(d.findings[since:], func(f finding) bool { return f.Severity == Error && !f.tolerable })
}

// parseNumber reads a decimal number, or a hexadecimal one after 0x. It reports whether s is a number at all; one beyond
// all ranges is the greatest.
func parseNumber(s string) (uint64, bool) {
	hex, isHex := strings.CutPrefix(strings.ToLower(s), "0x")
	base := 10
	if isHex {
		base = 16
	}
	n, err := strconv.ParseUint(hex, base, 64)
	return n, err == nil || n == 1<<64-1
}

// named returns a number from lo to hi in any notation, or what one of the names for it stands for. A name may look like
// a keyword: table local.
func (d *decoder) named(c *cursor, names map[string]uint32, lo, hi uint32, want string) (uint32, Token, bool) {
	if c.more() {
		if n, ok := names[strings.ToLower(c.words[0].Text)]; ok {
			return n, c.take(), true
		}
	}
	t, ok := d.next(c, want)
	if !ok {
		return 0, t, false
	}
	n, isNumber := parseNumber(t.Text)
	switch {
	case isNumber && n >= uint64(lo) && n <= uint64(hi):
		return uint32(n), t, true
	case isNumber:
		d.errorf(t, "%s %s: out of range (want %s)", c.keyword.Text, t.Text, want)
	default:
		d.suggestf(t, d.nearest(t.Text, slices.Sorted(maps.Keys(names))), "%s %q: want %s", c.keyword.Text, t.Text, want)
	}
	return 0, t, false
}

// tables are the routing tables that every kernel has. Other names are those of a file of iproute2.
var tables = map[string]uint32{"main": 254, "local": 255, "default": 253}

const mainTable = 254

func (d *decoder) routingTable(c *cursor) (uint32, Token, bool) {
	return d.named(c, tables, 1, 1<<32-1, "main, local, default or 1 to 4294967295; the names of rt_tables are not read")
}

// services are iproute2's names for values of the TOS field.
var services = map[string]uint32{
	"default": 0, "ef": 0xb8,
	"af11": 0x28, "af12": 0x30, "af13": 0x38, "af21": 0x48, "af22": 0x50, "af23": 0x58,
	"af31": 0x68, "af32": 0x70, "af33": 0x78, "af41": 0x88, "af42": 0x90, "af43": 0x98,
	"cs1": 0x20, "cs2": 0x40, "cs3": 0x60, "cs4": 0x80, "cs5": 0xa0, "cs6": 0xc0, "cs7": 0xe0,
}

// serviceType returns a value of the TOS field. Its last two bits are not of it any more (RFC 3168), and the kernel takes
// none that has them.
func (d *decoder) serviceType(c *cursor) (uint8, Token, bool) {
	n, t, ok := d.named(c, services, 0, 255, "0 to 255, 0x10 for example, or a name like AF11")
	if ok && n&3 != 0 {
		d.suggestf(t, "0x"+strconv.FormatUint(uint64(n&^3), 16), "%s %s: the last two bits must be 0", c.keyword.Text, t.Text)
		return 0, t, false
	}
	return uint8(n), t, ok
}

// subnet reads ADDRESS[/LENGTH]; without a length it is the address of a host. Host bits stay.
func (d *decoder) subnet(t Token, what string) (netip.Prefix, bool) {
	addr, length, hasLength := strings.Cut(t.Text, "/")
	a, err := netip.ParseAddr(addr)
	if err != nil || a.Is4In6() || a.Zone() != "" {
		d.errorf(t, "%s %q: want ADDRESS or ADDRESS/LENGTH", what, t.Text)
		return netip.Prefix{}, false
	}
	bits := a.BitLen()
	if hasLength {
		n, err := strconv.ParseUint(length, 10, 8)
		if err != nil || int(n) > bits {
			d.suggestf(t, withLength(a, length), "%s %s: prefix length %q (want 0 to %d)", what, addr, length, bits)
			return netip.Prefix{}, false
		}
		bits = int(n)
	}
	return netip.PrefixFrom(a, bits), true
}

// withLength returns the prefix that a mask like 255.255.255.0 stands for, or "".
func withLength(a netip.Addr, mask string) string {
	m, err := netip.ParseAddr(mask)
	if err != nil || !m.Is4() || !a.Is4() {
		return ""
	}
	for bits := range 33 {
		if netip.PrefixFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), bits).Masked().Addr() == m {
			return netip.PrefixFrom(a, bits).String()
		}
	}
	return ""
}

// anywhere are the words for every address of a family.
var anywhere = []string{"default", "any", "all"}

// isNetwork reports whether a word was meant as a network, well-formed or not.
func isNetwork(word string) bool {
	return slices.Contains(anywhere, word) || isAddress(word) ||
		word != "" && digits(word[:1]) && strings.ContainsAny(word, "./:")
}

// families finds out which family an entry belongs to. The first word that has one decides.
type families struct {
	d     *decoder
	first Token
	known bool
	ipv6  bool
}

// add takes the family of a word into account.
func (f *families) add(at Token, ipv6 bool) {
	switch {
	case !f.known:
		f.first, f.known, f.ipv6 = at, true, ipv6
	case f.ipv6 != ipv6:
		f.d.errorf(at, "%s is %s and %s is %s: an entry has one family", at.Text, familyName(ipv6), f.first.Text, familyName(f.ipv6))
	}
}

// addAddress takes the family of an address into account, if there is one.
func (f *families) addAddress(v *field[netip.Addr]) {
	if v.ok {
		f.add(v.at, v.value.Is6())
	}
}

func familyName(ipv6 bool) string {
	if ipv6 {
		return "IPv6"
	}
	return "IPv4"
}

// familyRows are the words that say the family.
func familyRows[T any](of func(T) *field[bool]) []row[T] {
	return slices.Concat(
		option(of, func(_ *decoder, c *cursor) (bool, Token, bool) { return false, c.keyword, true }, "inet"),
		option(of, present, "inet6"),
	)
}

// eachEntry decodes a block of routes or rules: one entry a line, as no word tells where the next one starts.
func (d *decoder) eachEntry(lines []Line, place string, decode func(c *cursor)) {
	for _, l := range lines {
		c := &cursor{keyword: l.Words[0], words: l.Words[1:], inline: l.Inline, block: l.Block}
		if d.misplaced(c, place) {
			continue
		}
		c.words = l.Words
		decode(c)
		d.noBlock(c)
	}
}
