package conf

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Tree returns the statements of a text, one a line, indented by block: words in brackets, quoted ones with quotes. What
// stood on a line with a brace is marked with a tilde.
func Tree(name string, src Source, env Env) (string, []Diagnostic) {
	return tree(name, src, env, textBudget)
}

// SmallTree is Tree with a budget that fuzzing can afford to use up.
func SmallTree(name string, src Source, env Env) (string, []Diagnostic) {
	return tree(name, src, env, 1<<20)
}

func tree(name string, src Source, env Env, budget int) (string, []Diagnostic) {
	rep := newReporter()
	root, _ := read(name, src, env, rep, budget)
	var b strings.Builder
	dump(&b, root.Lines, 0)
	return b.String(), rep.finish(false)
}

func dump(b *strings.Builder, lines []Line, depth int) {
	for _, l := range lines {
		b.WriteString(strings.Repeat("  ", depth))
		if l.Inline {
			b.WriteByte('~')
		}
		for _, w := range l.Words {
			if w.Quoted {
				fmt.Fprintf(b, "[%q]", w.Text)
			} else {
				fmt.Fprintf(b, "[%s]", w.Text)
			}
		}
		if l.Block != nil {
			b.WriteString("{")
		}
		b.WriteByte('\n')
		if l.Block != nil {
			dump(b, l.Block.Lines, depth+1)
		}
	}
}

// ParseSmall is Parse with a budget that fuzzing can afford to use up.
func ParseSmall(name string, src Source, env Env, opts Options) (string, []Diagnostic) {
	d := decode(name, src, env, 1<<20)
	cfg := d.resolve()
	diags := d.finish(opts.Lenient)
	if HasErrors(diags) {
		return "", diags
	}
	return Format(cfg), diags
}

// KnownWords returns the keywords of the tables, by context.
func KnownWords() map[string][]string {
	return map[string][]string{
		"root": rootWords.words, "global_defs": globalWords.words, "vrrp_instance": instanceWords.words,
		"virtual_ipaddress": virtualWords.words, "virtual_ipaddress_excluded": excludedWords.words,
		"bgp_speaker": speakerWords.words, "neighbor": neighborWords.words, "bgp_announce": announceWords.words,
		"unicast_peer": unicastPeerWords.words, "watcher_peer": watcherPeerWords.words, "authentication": authenticationWords.words,
	}
}

// Distance is the edit distance behind suggestions.
var Distance = distance

// FileMap is a Source of texts.
type FileMap map[string]string

func (m FileMap) Read(name string) ([]byte, error) {
	s, ok := m[name]
	if !ok {
		return nil, fmt.Errorf("open %s: no such file", name)
	}
	return []byte(s), nil
}

func (m FileMap) Glob(pattern string) ([]string, error) {
	var names []string
	for n := range m {
		ok, err := path.Match(pattern, n)
		if err != nil {
			return nil, err
		}
		if ok {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Quote and Name are how Format writes words.
var (
	Quote = quote
	Name  = name
)
