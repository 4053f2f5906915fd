package conf

import (
	"crypto/sha256"
	"maps"
	"slices"
	"strings"
)

// textBudget bounds what variables, sequences and includes may make of a text: octets handled, with a surcharge for each
// line. It is far above the needs of 4096 routers and far below what would hurt.
const textBudget = 64 << 20

// Limits of nesting, and what a line costs besides its octets.
const (
	maxNesting  = 100
	lineCost    = 32
	segmentCost = 64
	loopCost    = 256
)

// reader turns files into logical lines: comments gone, conditions decided, variables replaced.
type reader struct {
	*reporter
	src    Source
	env    Env
	vars   map[string]variable
	out    *builder
	files  []string // being read, the innermost last
	left   int      // of the budget
	spent  bool     // the budget is used up, which has been reported
	nested int      // of ~SEQ and ~LST
	// conditions are the config-ids that lines begin with, and where each is first.
	conditions map[string]Token
}

// variable is a definition: one line, or several of which each stands for a line.
type variable struct{ lines []text }

// read returns the tree of a file and the sum of its content.
func read(name string, src Source, env Env, rep *reporter, budget int) (*Block, string) {
	chosen := env.ConfigID
	env.ConfigID = env.Identity()
	r := &reader{reporter: rep, src: src, env: env, vars: map[string]variable{}, left: budget, conditions: map[string]Token{}}
	r.out = newBuilder(rep, sha256.New())
	r.file(name, Token{Pos: Pos{File: name}})
	r.checkChosen(chosen)
	return r.out.finish()
}

// file reads one file. at is what asked for it.
func (r *reader) file(name string, at Token) {
	r.sawFile(name)
	data, err := r.src.Read(name)
	if err != nil {
		r.errorf(at, "read configuration %s: %v", name, err)
		return
	}
	r.files = append(r.files, name)
	defer func() { r.files = r.files[:len(r.files)-1] }()

	lines := strings.Split(strings.TrimPrefix(string(data), "\ufeff"), "\n")
	for i := 0; i < len(lines) && !r.spent; {
		i = r.physical(name, lines, i)
	}
}

// physical handles line i of a file, with those that continue it, and returns the number of the next one.
func (r *reader) physical(file string, lines []string, i int) int {
	t := r.fetch(file, lines, i)
	i++
	body, applies := r.condition(t)
	name, value, ok := definition(body)
	if !ok {
		if applies {
			r.logical(body)
		}
		return i
	}
	// A definition that does not apply takes its continuation lines with it.
	def := variable{}
	first, more := continued(value)
	def.lines = append(def.lines, first)
	for ; more; i++ {
		if i >= len(lines) {
			r.errorf(body.token(0, 1), "the definition of $%s still continues at the end of the file", name)
			break
		}
		var next text
		next, more = continued(r.fetch(file, lines, i))
		def.lines = append(def.lines, next)
	}
	if applies {
		r.define(name, def, body)
	}
	return i
}

// fetch returns a line of a file without its comment and the blanks around it.
func (r *reader) fetch(file string, lines []string, i int) text {
	s := lines[i]
	if !r.spend(len(s)+lineCost, Pos{File: file, Line: i + 1, Column: 1}) {
		return text{}
	}
	end, glued := comment(s)
	t := written(s, Pos{File: file, Line: i + 1, Column: 1})
	if glued {
		warnGlued(r.reporter, t.token(end, end+1))
	}
	t = t.slice(0, end).trim()
	if nul := strings.IndexByte(t.s, 0); nul >= 0 {
		r.errorf(t.token(nul, nul+1), "the file contains a NUL character")
	}
	return t
}

// spend takes n from the budget, and reports once that there is not enough.
func (r *reader) spend(n int, at Pos) bool {
	if r.left -= n; r.left >= 0 {
		return true
	}
	if !r.spent {
		r.spent = true
		r.errorf(Token{Pos: at}, "the configuration becomes too large: variables, sequences and includes make more than %d MiB of it", textBudget>>20)
	}
	return false
}

// condition takes "@ID" or "@^ID" off the start of a line and reports whether the rest applies.
func (r *reader) condition(t text) (rest text, applies bool) {
	applies = true
	for strings.HasPrefix(t.s, "@") {
		end := strings.IndexAny(t.s, " \t\r\f\v")
		if end < 0 {
			end = len(t.s)
		}
		id := t.s[1:end]
		not := strings.HasPrefix(id, "^")
		id = strings.TrimPrefix(id, "^")
		if id == "" {
			r.errorf(t.token(0, end), "%s without a config-id: write @ID or @^ID", t.s[:end])
		}
		if _, seen := r.conditions[id]; !seen && id != "" {
			r.conditions[id] = t.token(0, end)
		}
		if (id == r.env.ConfigID) == not {
			applies = false
		}
		t = t.slice(end, len(t.s)).trim()
	}
	return t, applies
}

// checkChosen warns of a config-id that somebody gave and no line asks for: most likely it is misspelled. Without one, the
// host's name is looked for, and a file may well be for others only.
func (r *reader) checkChosen(id string) {
	if _, known := r.conditions[id]; id == "" || known || len(r.conditions) == 0 {
		return
	}
	ids := slices.Sorted(maps.Keys(r.conditions))
	first := r.conditions[ids[0]]
	for _, at := range r.conditions {
		if at.Pos.File == first.Pos.File && at.Pos.Line < first.Pos.Line {
			first = at
		}
	}
	r.warnf(first, "no line begins with @%s, the config-id that was asked for; there are @%s", id, strings.Join(ids, ", @"))
}

// definition takes "$NAME=VALUE" apart. There is no blank before the equals sign.
func definition(t text) (name string, value text, ok bool) {
	if !strings.HasPrefix(t.s, "$") {
		return "", text{}, false
	}
	end := nameEnd(t.s, 1)
	if end == 1 || end == len(t.s) || t.s[end] != '=' {
		return "", text{}, false
	}
	return t.s[1:end], t.slice(end+1, len(t.s)).trim(), true
}

// continued takes the backslash off the end of a line, and reports whether there was one.
func continued(t text) (text, bool) {
	if !strings.HasSuffix(t.s, `\`) {
		return t, false
	}
	return t.slice(0, len(t.s)-1).trim(), true
}

func (r *reader) define(name string, v variable, at text) {
	if strings.HasPrefix(name, "_") {
		r.errorf(at.token(0, 1), "$%s: names that start with an underscore are predefined", name)
		return
	}
	r.vars[name] = v
}

// nameEnd returns the end of the variable's name that starts at i.
func nameEnd(s string, i int) int {
	for i < len(s) && (s[i] == '_' || s[i] >= '0' && s[i] <= '9' || s[i]|0x20 >= 'a' && s[i]|0x20 <= 'z') {
		i++
	}
	return i
}

// logical handles a line of a file or of a variable: it is an include, a definition, a sequence, or statements.
func (r *reader) logical(t text) {
	scan, changed := 0, true
	for len(t.s) > 0 && !r.spent {
		if changed {
			// What decides about the whole line stands at its start, perhaps only since a variable was replaced.
			var applies bool
			if t, applies = r.condition(t.trim()); !applies {
				return
			}
			if name, value, ok := definition(t); ok {
				r.define(name, variable{[]text{value}}, t)
				return
			}
			if r.include(t) || r.loop(t) {
				return
			}
			scan = 0
		}
		ref, ok := r.reference(t, scan)
		if !ok {
			break
		}
		value := r.value(t, ref)
		if len(value.lines) > 1 {
			r.multiline(t, ref, value)
			return
		}
		v := text{}
		if len(value.lines) == 1 {
			v = value.lines[0]
		}
		t = t.replace(ref.start, ref.end, v)
		if !r.spend(len(t.s)+segmentCost*len(t.segs), ref.at.Pos) {
			return
		}
		scan = ref.start
		if value.final {
			scan += len(v.s)
		}
		changed = ref.start == 0 && !value.final
	}
	if items := lex(t, r.reporter); len(items) > 0 {
		r.out.line(items)
	}
}

// multiline replaces a reference to a variable of several lines. What stands before it joins the first of them, what
// stands behind it the last.
func (r *reader) multiline(t text, ref reference, value expansion) {
	last := len(value.lines) - 1
	for i, l := range value.lines {
		if i == 0 {
			l = t.slice(0, ref.start).replace(ref.start, ref.start, l)
		}
		if i == last {
			l = l.replace(len(l.s), len(l.s), t.slice(ref.end, len(t.s)))
		}
		if !r.spend(len(l.s)+lineCost, ref.at.Pos) {
			return
		}
		r.logical(l)
	}
}
