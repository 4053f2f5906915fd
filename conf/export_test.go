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

// statusNames are how the tests call what becomes of a keyword.
var statusNames = [...]string{"supported", "ignored", "later", "harmless", "refused", "foreign"}

// Statuses returns what becomes of each keyword, by place.
func Statuses() map[string]map[string]string {
	out := map[string]map[string]string{}
	for i := range trackTables {
		add(out, trackTables[i].name, trackTables[i])
	}
	add(out, "root", rootWords)
	add(out, "global_defs", globalWords)
	add(out, "vrrp_instance", instanceWords)
	add(out, "anycast_service", anycastWords)
	add(out, "vrrp_sync_group", groupWords)
	add(out, "vrrp_script", scriptWords)
	add(out, "track_file {}", fileWords)
	add(out, "vrrp_track_process", processWords)
	add(out, "virtual_ipaddress", virtualWords)
	add(out, "virtual_ipaddress_excluded", excludedWords)
	add(out, "unicast_peer", unicastPeerWords)
	add(out, "watcher_peer", watcherPeerWords)
	add(out, "authentication", authenticationWords)
	add(out, "auth_hmac", hmacWords)
	add(out, "bgp_speaker", speakerWords)
	add(out, "neighbor", neighborWords)
	add(out, "bgp_announce", announceWords)
	add(out, "health_check", checkWords)
	add(out, "check_group", checkGroupWords)
	add(out, "http", httpWords)
	add(out, "bgp_route", routeWords)
	add(out, "dns", dnsWords)
	add(out, "grpc", grpcWords)
	add(out, "prometheus", prometheusWords)
	add(out, "site", siteWords)
	add(out, "watch_site", watchWords)
	add(out, "witness_server", witnessServerWords)
	for kind, t := range partnerWords {
		add(out, kind.String(), t)
	}
	return out
}

func add[T any](out map[string]map[string]string, place string, t *table[T]) {
	out[place] = map[string]string{}
	for w, r := range t.rows {
		out[place][w] = statusNames[r.status]
	}
}

// NoBFD is what is said of BFD.
const NoBFD = noBFD

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
