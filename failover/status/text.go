package status

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// style is an SGR sequence of ECMA-48 without its frame; empty: plain.
type style string

const (
	plain  style = ""
	bold   style = "1"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
	alarm  style = "1;31"
)

// minTail is the least room for the text at the end of a row; with less it goes to lines of its own.
const minTail = 24

const indent = "    "

// printer lays text out for a width, 0 for none, and remembers the first error.
type printer struct {
	w     io.Writer
	width int
	color bool
	err   error
}

func (p *printer) line(s string) {
	if p.err == nil {
		_, p.err = io.WriteString(p.w, strings.TrimRight(s, " ")+"\n")
	}
}

// paint puts s in a style. It must be the last step, after everything that counts columns.
func (p *printer) paint(st style, s string) string {
	if !p.color || st == plain || s == "" {
		return s
	}
	return "\x1b[" + string(st) + "m" + s + "\x1b[0m"
}

// text prints s in wrapped lines, the first after the prefix and the others indented to match.
func (p *printer) text(st style, prefix, s string) {
	p.hang(st, prefix, strings.Repeat(" ", width(prefix)), s)
}

// hang prints s in wrapped lines, the first after one prefix and the others after another, which is not the shorter one.
func (p *printer) hang(st style, first, others, s string) {
	lead := first
	for _, part := range strings.Split(strings.TrimRight(s, "\n"), "\n") {
		for _, l := range wrap(clean(part), p.width-width(others)) {
			p.line(lead + p.paint(st, l))
			lead = others
		}
	}
}

// cell is one field of a table.
type cell struct {
	text  string
	style style
}

// row is a line of a table: one cell for each column, a text of any length that takes the rest of the line, and notes
// below.
type row struct {
	cells []cell
	tail  cell
	notes []note
}

// note is a line under a row: something that is not as it should be, or explains it.
type note struct {
	style style
	text  string
}

// table prints rows under a head whose last name is that of the tails. Where even the columns do not fit, each row
// becomes a list of its fields.
func (p *printer) table(head []string, rows []row) {
	n := len(head) - 1
	widths, sum := make([]int, n), 0
	for i := range n {
		widths[i] = width(head[i])
		for _, r := range rows {
			widths[i] = max(widths[i], width(r.cells[i].text))
		}
		sum += widths[i] + 2
	}
	if p.width > 0 && sum-2 > p.width {
		p.records(head, rows)
		return
	}
	room := p.width - sum
	inline := p.width <= 0 || room >= minTail
	var b strings.Builder
	for i := range n {
		b.WriteString(pad(head[i], widths[i]) + "  ")
	}
	if inline {
		b.WriteString(head[n])
	}
	p.line(p.paint(bold, strings.TrimRight(b.String(), " ")))
	for _, r := range rows {
		b.Reset()
		for i, c := range r.cells {
			b.WriteString(p.paint(c.style, c.text) + strings.Repeat(" ", widths[i]-width(c.text)+2))
		}
		if inline {
			p.text(r.tail.style, b.String(), r.tail.text)
		} else {
			p.line(b.String())
			p.tail(head[n], r.tail)
		}
		p.notes(r.notes)
	}
}

// records prints each row as a list of fields.
func (p *printer) records(head []string, rows []row) {
	n := len(head) - 1
	for _, r := range rows {
		p.line(p.paint(bold, head[0]+" ") + p.paint(r.cells[0].style, r.cells[0].text))
		for i := 1; i < n; i++ {
			if r.cells[i].text != "" {
				p.text(r.cells[i].style, indent+strings.ToLower(head[i])+": ", r.cells[i].text)
			}
		}
		p.tail(head[n], r.tail)
		p.notes(r.notes)
	}
}

func (p *printer) tail(name string, c cell) {
	if c.text != "" {
		p.text(c.style, indent+strings.ToLower(name)+": ", c.text)
	}
}

func (p *printer) notes(notes []note) {
	for _, n := range notes {
		p.hang(n.style, indent, indent+"  ", n.text)
	}
}

// width is the number of columns of s, without the escape sequences of paint.
func width(s string) int {
	n, escape := 0, false
	for _, r := range s {
		switch {
		case r == '\x1b':
			escape = true
		case escape:
			escape = r != 'm'
		default:
			n++
		}
	}
	return n
}

func pad(s string, n int) string { return s + strings.Repeat(" ", max(0, n-width(s))) }

// wrap breaks s at blanks into lines of at most n columns; longer words stand alone. An n too small to be useful
// breaks nothing. There is at least one line.
func wrap(s string, n int) []string {
	if n < 10 || width(s) <= n {
		return []string{s}
	}
	var lines []string
	line := ""
	for _, word := range strings.Fields(s) {
		if line != "" && width(line)+1+width(word) > n {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}

// clean makes text from elsewhere harmless for a terminal: a neighbor may send any octets as the reason of its
// shutdown (RFC 9003), and they end up in an error text.
func clean(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }) {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == '\t':
			b.WriteByte(' ')
		case r == utf8.RuneError && strings.HasPrefix(s[i:], "\uFFFD"):
			b.WriteRune(r)
		case r == utf8.RuneError:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case !unicode.IsPrint(r):
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// ago writes a time span the way people read it, two units at most; a time that is unknown is "-".
func ago(now, t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return span(now.Sub(t))
}

func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch d = max(0, d); {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Truncate(100*time.Millisecond).Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < day:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	default:
		return fmt.Sprintf("%dd%02dh", d/day, d%day/time.Hour)
	}
}
