package conf

import (
	"path"
	"strconv"
	"strings"
)

// reference is a use of a variable in a line: $NAME before a blank or the end of the line, or ${NAME} anywhere.
type reference struct {
	start, end int
	name       string
	args       []string // of ${NAME ARGS}, which only predefined ones have
	at         Token
}

// expansion is what stands in for a reference.
type expansion struct {
	lines []text
	// final text is not looked at again for references.
	final bool
}

// reference finds the first reference at or after octet i.
func (r *reader) reference(t text, i int) (reference, bool) {
	for i < len(t.s) {
		n := strings.IndexByte(t.s[i:], '$')
		if n < 0 {
			break
		}
		i += n
		if !t.seg(i).literal {
			if ref, ok := referenceAt(t, i); ok {
				return ref, true
			}
			r.warnUnexpanded(t, i)
		}
		i++
	}
	return reference{}, false
}

func referenceAt(t text, i int) (reference, bool) {
	s := t.s
	if strings.HasPrefix(s[i:], "${") {
		n := strings.IndexByte(s[i:], '}')
		if n < 0 {
			return reference{}, false
		}
		words := strings.Fields(s[i+2 : i+n])
		if len(words) == 0 || nameEnd(words[0], 0) != len(words[0]) || len(words) > 1 && words[0][0] != '_' {
			return reference{}, false
		}
		return reference{i, i + n + 1, words[0], words[1:], t.token(i, i+n+1)}, true
	}
	end := nameEnd(s, i+1)
	// As in keepalived, so that "$0" and "$(...)" in a command stay what they are.
	if end == i+1 || end < len(s) && !blank(s[end]) {
		return reference{}, false
	}
	return reference{i, end, s[i+1 : end], nil, t.token(i, end)}, true
}

// warnUnexpanded is about "$NAME" where only ${NAME} would be replaced.
func (r *reader) warnUnexpanded(t text, i int) {
	name := t.s[i+1 : nameEnd(t.s, i+1)]
	if _, ok := r.vars[name]; ok {
		r.warnf(t.token(i, i+1), "$%s is not replaced here, because no blank follows; write ${%s}", name, name)
	}
}

// value returns what a reference stands for.
func (r *reader) value(t text, ref reference) expansion {
	via := t.seg(ref.start).via
	if v, ok := r.vars[ref.name]; ok {
		switch {
		case via.includes(ref.name):
			r.errorf(ref.at, "$%s refers to itself", ref.name)
			return expansion{final: true}
		case via.depth() >= maxNesting:
			r.errorf(ref.at, "variables are nested more than %d deep", maxNesting)
			return expansion{final: true}
		}
		u := &use{name: ref.name, at: ref.at.Pos, outer: via}
		out := expansion{lines: make([]text, len(v.lines))}
		for i, l := range v.lines {
			out.lines[i] = l.usedBy(u)
		}
		return out
	}
	if s, ok := r.predefined(t, ref); ok {
		// A $ that was asked for must not become a reference when the line is looked at again.
		return expansion{lines: []text{t.made(ref.start, s, s == "$")}, final: true}
	}
	if c := ref.name[0]; c < '0' || c > '9' {
		r.warnf(ref.at, "%s is not defined and stays as it is", ref.at.Text)
	}
	return expansion{lines: []text{t.made(ref.start, ref.at.Text, true)}, final: true}
}

// predefined returns the value of a predefined variable.
func (r *reader) predefined(t text, ref reference) (string, bool) {
	switch ref.name {
	case "_PWD":
		return path.Dir(t.seg(ref.start).pos.File), true
	case "_INSTANCE":
		return r.env.ConfigID, true
	case "_HASH":
		return "#", true
	case "_BANG":
		return "!", true
	case "_DOLLAR":
		return "$", true
	case "_RANDOM":
		return r.random(ref), true
	case "_ENV":
		return r.environment(ref)
	}
	return "", false
}

// random is ${_RANDOM [MIN [MAX]]}, from 0 to 32767 by default.
func (r *reader) random(ref reference) string {
	bounds := [2]uint64{0, 32767}
	for i, a := range ref.args {
		n, err := strconv.ParseUint(a, 10, 32)
		if err != nil || i >= len(bounds) {
			r.errorf(ref.at, "%s: want ${_RANDOM [MIN [MAX]]} with numbers", ref.at.Text)
			return "0"
		}
		bounds[i] = n
	}
	if bounds[0] > bounds[1] {
		r.errorf(ref.at, "%s: the smallest value is above the largest, %d", ref.at.Text, bounds[1])
		return "0"
	}
	if r.env.Random == nil {
		return strconv.FormatUint(bounds[0], 10)
	}
	return strconv.FormatUint(bounds[0]+r.env.Random(bounds[1]-bounds[0]+1), 10)
}

// environment is ${_ENV NAME}.
func (r *reader) environment(ref reference) (string, bool) {
	if len(ref.args) != 1 {
		r.errorf(ref.at, "%s: want ${_ENV NAME}", ref.at.Text)
		return "", true
	}
	if r.env.Lookup != nil {
		if v, ok := r.env.Lookup(ref.args[0]); ok {
			// A value with line breaks would be several statements in disguise.
			return strings.Map(func(c rune) rune {
				if c == '\n' || c == 0 {
					return ' '
				}
				return c
			}, v), true
		}
	}
	return "", false
}
