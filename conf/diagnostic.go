package conf

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// Pos is a place in a configuration file. Lines and columns count from 1, columns in octets.
type Pos struct {
	File         string
	Line, Column int // 0: the file as a whole
}

// String returns FILE:LINE:COLUMN, or FILE for a file as a whole.
func (p Pos) String() string {
	if p.Line == 0 {
		return p.File
	}
	return p.File + ":" + strconv.Itoa(p.Line) + ":" + strconv.Itoa(p.Column)
}

// Severity says what a diagnostic means for the configuration.
type Severity uint8

// The two severities.
const (
	Warning Severity = iota // the configuration is usable
	Error                   // it is not
)

// String returns "warning" or "error".
func (s Severity) String() string { return [...]string{"warning", "error"}[s] }

// Diagnostic is one thing to say about a configuration.
type Diagnostic struct {
	Pos      Pos
	Severity Severity
	Message  string
	// Suggestion is a word that may have been meant instead; empty: none.
	Suggestion string
}

// String returns FILE:LINE:COLUMN: SEVERITY: MESSAGE (did you mean "SUGGESTION"?).
func (d Diagnostic) String() string {
	s := d.Pos.String() + ": " + d.Severity.String() + ": " + d.Message
	if d.Suggestion != "" {
		s += fmt.Sprintf(" (did you mean %q?)", d.Suggestion)
	}
	return s
}

// HasErrors reports whether one of the diagnostics is an error.
func HasErrors(diags []Diagnostic) bool {
	return slices.ContainsFunc(diags, func(d Diagnostic) bool { return d.Severity == Error })
}

// finding is a diagnostic whose severity may still depend on how the text is read.
type finding struct {
	Diagnostic
	// tolerable findings are errors in a check or a reload, and warnings at start.
	tolerable bool
}

// class tells apart what a finding can mean for the configuration.
func class(s Severity, tolerable bool) int {
	switch {
	case s == Warning:
		return 0
	case tolerable:
		return 1
	}
	return 2
}

// maxFindings is far more than anybody reads: a file with as many is no configuration.
const maxFindings = 10000

// reporter collects findings.
type reporter struct {
	findings []finding
	full     [3]bool        // by class: the limit is reached, and that has been said
	files    map[string]int // file to its order of appearance
	said     map[string]bool
}

func newReporter() *reporter {
	return &reporter{files: map[string]int{}, said: map[string]bool{}}
}

func (r *reporter) errorf(at Token, format string, args ...any) {
	r.add(at, Error, false, "", format, args)
}

func (r *reporter) warnf(at Token, format string, args ...any) {
	r.add(at, Warning, false, "", format, args)
}

// tolerablef reports what keepalived ignores: an error in a check or a reload, a warning at start.
func (r *reporter) tolerablef(at Token, format string, args ...any) {
	r.add(at, Error, true, "", format, args)
}

// suggestf is errorf with a suggestion.
func (r *reporter) suggestf(at Token, suggestion, format string, args ...any) {
	r.add(at, Error, false, suggestion, format, args)
}

func (r *reporter) add(at Token, s Severity, tolerable bool, suggestion, format string, args []any) {
	if len(r.findings) >= maxFindings && r.full[class(s, tolerable)] {
		return
	}
	msg := shorten(fmt.Sprintf(format, args...))
	if u := at.via.outermost(); u != nil {
		msg += fmt.Sprintf(" (in $%s, used at %s)", u.name, u.at)
	}
	f := finding{Diagnostic{at.Pos, s, msg, suggestion}, tolerable}
	if len(r.findings) >= maxFindings {
		// One more of each class is kept, so that what the text is good for does not depend on the limit.
		r.full[class(s, tolerable)] = true
		f.Message += "; the others are not shown, there are too many"
	}
	r.findings = append(r.findings, f)
}

// maxMessage is about what a reader takes in at once. Longer ones quote a word that is no word.
const maxMessage = 500

// shorten leaves out the middle of a message that is too long.
func shorten(msg string) string {
	const head, tail = maxMessage / 2, maxMessage / 4
	if len(msg) <= maxMessage {
		return msg
	}
	return fmt.Sprintf("%s... (%d octets) ...%s", strings.ToValidUTF8(msg[:head], ""), len(msg)-head-tail,
		strings.ToValidUTF8(msg[len(msg)-tail:], ""))
}

// first reports whether key is said for the first time.
func (r *reporter) first(key string) bool {
	if r.said[key] {
		return false
	}
	r.said[key] = true
	return true
}

// sawFile fixes the order of files in the output: that in which they were opened.
func (r *reporter) sawFile(name string) {
	if _, ok := r.files[name]; !ok {
		r.files[name] = len(r.files)
	}
}

// finish returns the diagnostics sorted by place, each once.
func (r *reporter) finish(lenient bool) []Diagnostic {
	var out []Diagnostic
	for _, f := range r.findings {
		if f.tolerable && lenient {
			f.Severity = Warning
		}
		out = append(out, f.Diagnostic)
	}
	sort.SliceStable(out, func(i, j int) bool {
		a, b := &out[i].Pos, &out[j].Pos
		return cmp.Or(cmp.Compare(r.files[a.File], r.files[b.File]), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column)) < 0
	})
	return slices.Compact(out)
}
