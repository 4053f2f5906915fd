package conf

import (
	"strconv"
	"strings"
)

// loop handles a line that starts with ~SEQ(...), ~SEQx(...) or ~LST(...): the rest of the line is read once for each
// value of a variable. It reports whether the line is one.
func (r *reader) loop(t text) bool {
	kind, args, rest, ok := r.loopHead(t)
	if !ok {
		return kind != ""
	}
	at := t.token(0, len(kind))
	var (
		names  []string
		tuples [][]string
	)
	if kind == "~LST" {
		names, tuples, ok = r.list(at, args)
	} else {
		var next func() (string, bool)
		if names, next, ok = r.sequence(at, args, kind == "~SEQx"); ok {
			r.each(t, at, names, rest, func() ([]string, bool) {
				v, ok := next()
				return []string{v}, ok
			})
		}
		return true
	}
	if ok {
		i := -1
		r.each(t, at, names, rest, func() ([]string, bool) {
			if i++; i < len(tuples) {
				return tuples[i], true
			}
			return nil, false
		})
	}
	return true
}

// loopHead takes the parenthesis of a loop apart. kind is empty when the line is none.
func (r *reader) loopHead(t text) (kind, args string, rest text, ok bool) {
	for _, k := range []string{"~SEQx", "~SEQ", "~LST"} {
		if !strings.HasPrefix(t.s, k+"(") {
			continue
		}
		at := t.token(0, len(k))
		end := strings.IndexByte(t.s, ')')
		if end < 0 {
			r.errorf(at, "%s( is never closed: a ) is missing", k)
			return k, "", text{}, false
		}
		args, ok := r.plain(t.slice(len(k)+1, end))
		return k, args, t.slice(end+1, len(t.s)).trim(), ok
	}
	return "", "", text{}, false
}

// plain replaces the references in a text that must come out as a piece of one line.
func (r *reader) plain(t text) (string, bool) {
	for scan := 0; ; {
		ref, ok := r.reference(t, scan)
		if !ok {
			return t.s, true
		}
		value := r.value(t, ref)
		if len(value.lines) > 1 {
			r.errorf(ref.at, "$%s has several lines and cannot stand here", ref.name)
			return "", false
		}
		v := text{}
		if len(value.lines) == 1 {
			v = value.lines[0]
		}
		t = t.replace(ref.start, ref.end, v)
		if !r.spend(len(t.s)+segmentCost*len(t.segs), ref.at.Pos) {
			return "", false
		}
		scan = ref.start
		if value.final {
			scan += len(v.s)
		}
		if len(t.s) == 0 {
			return "", true
		}
	}
}

// each reads rest once for every tuple of values that next returns.
func (r *reader) each(t text, at Token, names []string, rest text, next func() ([]string, bool)) {
	if r.nested++; r.nested > maxNesting {
		r.errorf(at, "more than %d loops inside each other", maxNesting)
		r.nested--
		return
	}
	defer func() { r.nested-- }()
	saved := make([]variable, len(names))
	for i, n := range names {
		saved[i] = r.vars[n]
	}
	for {
		values, ok := next()
		if !ok || !r.spend(len(rest.s)+loopCost, at.Pos) {
			break
		}
		for i, n := range names {
			r.vars[n] = variable{[]text{t.made(0, values[i], false)}}
		}
		r.logical(rest)
	}
	for i, n := range names {
		if saved[i].lines == nil {
			delete(r.vars, n)
		} else {
			r.vars[n] = saved[i]
		}
	}
}

// sequence reads "NAME, [START, [STEP,]] END" and returns an iterator over the values.
func (r *reader) sequence(at Token, args string, hex bool) (names []string, next func() (string, bool), ok bool) {
	fields := strings.Split(args, ",")
	name := strings.TrimSpace(fields[0])
	if !r.loopName(at, name) {
		return nil, nil, false
	}
	var n []int64
	for _, f := range fields[1:] {
		v, err := strconv.ParseInt(strings.TrimSpace(f), 0, 32)
		if err != nil {
			r.errorf(at, "%s(%s): %q is not a number", at.Text, args, strings.TrimSpace(f))
			return nil, nil, false
		}
		n = append(n, v)
	}
	var start, step, end int64
	switch len(n) {
	case 1:
		end = n[0]
		start = sign(end)
		step = start
	case 2:
		start, end = n[0], n[1]
		step = sign(end - start)
	case 3:
		start, step, end = n[0], n[1], n[2]
	default:
		r.errorf(at, "%s(%s): want %s(NAME, [START, [STEP,]] END)", at.Text, args, at.Text)
		return nil, nil, false
	}
	if step == 0 || (end-start)*step < 0 {
		r.errorf(at, "%s(%s): steps of %d never lead from %d to %d", at.Text, args, step, start, end)
		return nil, nil, false
	}
	base := 10
	if hex {
		base = 16
	}
	v := start - step
	return []string{name}, func() (string, bool) {
		v += step
		return strconv.FormatInt(v, base), step > 0 && v <= end || step < 0 && v >= end
	}, true
}

// sign is the step of a sequence that says none: down only when the end is below.
func sign(n int64) int64 {
	if n < 0 {
		return -1
	}
	return 1
}

// list reads "NAME, VALUE, ..." or "{NAME, ...}, {VALUE, ...}, ...".
func (r *reader) list(at Token, args string) (names []string, tuples [][]string, ok bool) {
	groups, ok := splitGroups(args)
	if !ok || len(groups) < 2 {
		r.errorf(at, "~LST(%s): want ~LST(NAME, VALUE, ...) or ~LST({NAME, ...}, {VALUE, ...}, ...)", args)
		return nil, nil, false
	}
	for _, n := range groups[0] {
		if !r.loopName(at, n) {
			return nil, nil, false
		}
	}
	for _, g := range groups[1:] {
		if len(g) != len(groups[0]) {
			r.errorf(at, "~LST(%s): %d names, but %d values in {%s}", args, len(groups[0]), len(g), strings.Join(g, ", "))
			return nil, nil, false
		}
	}
	return groups[0], groups[1:], true
}

// splitGroups splits at commas; what is in braces is one group of several, everything else a group of one.
func splitGroups(s string) (groups [][]string, ok bool) {
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimSpace(s) {
		var fields []string
		if strings.HasPrefix(s, "{") {
			inner, rest, closed := strings.Cut(s[1:], "}")
			if !closed {
				return nil, false
			}
			for f := range strings.SplitSeq(inner, ",") {
				fields = append(fields, strings.TrimSpace(f))
			}
			s = strings.TrimSpace(rest)
			if s != "" && s[0] != ',' {
				return nil, false
			}
			s = strings.TrimPrefix(s, ",")
		} else {
			var f string
			f, s, _ = strings.Cut(s, ",")
			fields = []string{strings.TrimSpace(f)}
		}
		groups = append(groups, fields)
	}
	return groups, true
}

func (r *reader) loopName(at Token, name string) bool {
	if name == "" || nameEnd(name, 0) != len(name) || name[0] == '_' {
		r.errorf(at, "%s: %q is not the name of a variable", at.Text, name)
		return false
	}
	return true
}
