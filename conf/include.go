package conf

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// include variants and what they ask for. A plain name that does not exist is an error in every one of them; the
// letters decide about patterns.
var includes = map[string]struct {
	quiet    bool // a pattern that matches nothing is fine
	wildcard bool // a pattern must match something
	each     bool // so must each alternative of a brace expression
}{
	"include":  {},
	"includer": {quiet: true},
	"includem": {},
	"includew": {wildcard: true},
	"includeb": {each: true},
	"includea": {wildcard: true, each: true},
}

// Bounds of a pattern: its length, and what its braces may expand to.
const (
	maxPattern      = 4096
	maxAlternatives = 1000
)

// include handles a line that starts with one of the include words, and reports whether it is one.
func (r *reader) include(t text) bool {
	end := strings.IndexAny(t.s, " \t\r\f\v\"")
	if end < 0 {
		end = len(t.s)
	}
	if _, ok := includes[t.s[:end]]; !ok {
		return false
	}
	word := t.token(0, end)
	arg, ok := r.plain(t.slice(end, len(t.s)).trim())
	if !ok {
		return true
	}
	pattern := unescape(strings.Trim(arg, `"`))
	if pattern == "" {
		r.errorf(word, "%s: the name of a file is missing", word.Text)
		return true
	}
	if len(pattern) > maxPattern {
		r.errorf(word, "%s: a name of %d characters is too long", word.Text, len(pattern))
		return true
	}
	if len(r.files) >= maxNesting {
		r.errorf(word, "%s: files are nested more than %d deep", word.Text, maxNesting)
		return true
	}
	r.includePattern(word, pattern)
	return true
}

func (r *reader) includePattern(word Token, pattern string) {
	want := includes[word.Text]
	alternatives, ok := expandBraces(pattern)
	if !ok {
		r.errorf(word, "%s %s: the braces expand to more than %d names", word.Text, pattern, maxAlternatives)
		return
	}
	var (
		names   []string
		missing []string // alternatives without a file, and why
		globbed bool
	)
	for _, alt := range alternatives {
		found, isPattern, err := r.match(alt)
		globbed = globbed || isPattern
		if err != nil {
			missing = append(missing, err.Error())
		}
		for _, f := range found {
			if !slices.Contains(names, f) {
				names = append(names, f)
			}
		}
	}
	switch {
	case len(names) == 0 && (!globbed || want.wildcard), len(missing) > 0 && want.each:
		r.errorf(word, "%s %s: %s", word.Text, pattern, strings.Join(missing, "; "))
	case len(names) == 0 && !want.quiet:
		r.warnf(word, "%s %s: no file matches", word.Text, pattern)
	}
	for _, name := range names {
		r.includeFile(word, name)
	}
}

// match returns the files of one alternative, relative to the file that the word stands in. The error says why there is
// none.
func (r *reader) match(alt string) (names []string, isPattern bool, err error) {
	if !path.IsAbs(alt) {
		alt = path.Join(path.Dir(r.files[len(r.files)-1]), alt)
	}
	if !strings.ContainsAny(alt, "*?[") {
		if _, err := r.src.Read(alt); err != nil {
			return nil, false, err
		}
		return []string{alt}, false, nil
	}
	names, err = r.src.Glob(alt)
	if err == nil && len(names) == 0 {
		err = fmt.Errorf("no file matches %s", alt)
	}
	return names, true, err
}

func (r *reader) includeFile(word Token, name string) {
	if i := slices.Index(r.files, name); i >= 0 {
		r.errorf(word, "%s: %s includes itself: %s", word.Text, name, strings.Join(append(slices.Clone(r.files[i:]), name), " -> "))
		return
	}
	if !r.spent {
		r.file(name, word)
	}
}

// expandBraces expands "{a,b}" as csh does. A brace that is not closed stands for itself.
func expandBraces(s string) ([]string, bool) {
	open := strings.IndexByte(s, '{')
	if open < 0 {
		return []string{s}, true
	}
	depth, start := 0, open+1
	var parts []string
	for i := open; i < len(s); i++ {
		switch s[i] {
		case '{':
			depth++
		case ',':
			if depth == 1 {
				parts = append(parts, s[start:i])
				start = i + 1
			}
		case '}':
			if depth--; depth == 0 {
				return combine(s[:open], append(parts, s[start:i]), s[i+1:])
			}
		}
	}
	return []string{s}, true
}

func combine(head string, parts []string, tail string) ([]string, bool) {
	tails, ok := expandBraces(tail)
	if !ok {
		return nil, false
	}
	var out []string
	for _, p := range parts {
		inner, ok := expandBraces(p)
		if !ok || len(out)+len(inner)*len(tails) > maxAlternatives {
			return nil, false
		}
		for _, i := range inner {
			for _, t := range tails {
				out = append(out, head+i+t)
			}
		}
	}
	return out, true
}
