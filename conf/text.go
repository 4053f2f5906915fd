package conf

import (
	"slices"
	"strings"
)

// text is a piece of configuration that knows where each of its octets was written.
type text struct {
	s    string
	segs []segment // sorted by at; the first has at 0 unless s is empty
}

// segment says where the octets of a text from at on come from.
type segment struct {
	at  int
	pos Pos // of the octet at at
	// fixed: all octets of the segment are written at pos, as with a number that ~SEQ made.
	fixed bool
	// literal octets have no meaning of their own to the lexer: ${NAME} of a variable that is not defined.
	literal bool
	via     *use
}

// use is one reference to a variable, whose value the octets of a text are.
type use struct {
	name  string
	at    Pos
	outer *use // the use that the reference itself is part of
}

// outermost returns the use that stands in a file, or nil.
func (u *use) outermost() *use {
	for u != nil && u.outer != nil {
		u = u.outer
	}
	return u
}

// includes reports whether name is being expanded.
func (u *use) includes(name string) bool {
	for ; u != nil; u = u.outer {
		if u.name == name {
			return true
		}
	}
	return false
}

// depth returns how many uses are nested.
func (u *use) depth() int {
	n := 0
	for ; u != nil; u = u.outer {
		n++
	}
	return n
}

// written returns a text that stands in a file at pos.
func written(s string, pos Pos) text {
	return text{s, []segment{{pos: pos}}}
}

// seg returns the segment of octet i.
func (t text) seg(i int) segment {
	n, found := slices.BinarySearchFunc(t.segs, i, func(s segment, i int) int { return s.at - i })
	if !found {
		n--
	}
	return t.segs[max(n, 0)]
}

// token returns a token of the octets from i to j, placed at i.
func (t text) token(i, j int) Token {
	seg := t.seg(i)
	return Token{Text: t.s[i:j], Pos: seg.posAt(i), via: seg.via}
}

// posAt returns where octet i of the text is written.
func (s segment) posAt(i int) Pos {
	p := s.pos
	if !s.fixed {
		p.Column += i - s.at
	}
	return p
}

// slice returns the octets from i to j.
func (t text) slice(i, j int) text {
	if i >= j {
		return text{}
	}
	if len(t.segs) == 1 {
		s := t.segs[0]
		s.pos, s.at = s.posAt(i), 0
		return text{t.s[i:j], []segment{s}}
	}
	out := text{s: t.s[i:j]}
	first := t.seg(i)
	first.pos, first.at = first.posAt(i), 0
	out.segs = append(out.segs, first)
	for _, s := range t.segs {
		if s.at > i && s.at < j {
			s.at -= i
			out.segs = append(out.segs, s)
		}
	}
	return out
}

// trim returns t without blanks at both ends.
func (t text) trim() text {
	i := 0
	for i < len(t.s) && blank(t.s[i]) {
		i++
	}
	j := len(t.s)
	for j > i && blank(t.s[j-1]) {
		j--
	}
	return t.slice(i, j)
}

// replace returns t with the octets from i to j replaced by v.
func (t text) replace(i, j int, v text) text {
	head, tail := t.slice(0, i), t.slice(j, len(t.s))
	out := text{
		s:    head.s + v.s + tail.s,
		segs: make([]segment, 0, len(head.segs)+len(v.segs)+len(tail.segs)),
	}
	add := func(part text, at int) {
		for _, s := range part.segs {
			if len(part.s) > 0 {
				s.at += at
				out.segs = append(out.segs, s)
			}
		}
	}
	add(head, 0)
	add(v, len(head.s))
	add(tail, len(head.s)+len(v.s))
	return out
}

// usedBy returns t as the value that u stands for.
func (t text) usedBy(u *use) text {
	segs := slices.Clone(t.segs)
	for i := range segs {
		segs[i].via = u
	}
	return text{t.s, segs}
}

// made returns a text that has no place of its own: it is where the octet i of t is.
func (t text) made(i int, s string, literal bool) text {
	seg := t.seg(i)
	return text{s, []segment{{pos: seg.posAt(i), fixed: true, literal: literal, via: seg.via}}}
}

// blank reports whether c separates words.
func blank(c byte) bool { return strings.IndexByte(" \t\r\f\v", c) >= 0 }
