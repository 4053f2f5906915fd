package conf_test

import (
	"strconv"
	"strings"
	"testing"

	"failoverd/conf"

	"pgregory.net/rapid"
)

// TestAnyWordSurvives: what Format writes for a word is that word again, whatever is in it: marks, quotes, backslashes,
// dollars, blanks, braces, other alphabets.
func TestAnyWordSurvives(t *testing.T) {
	word := rapid.StringOf(rapid.OneOf(
		rapid.SampledFrom([]rune("#!\"'\\{}$@~ \t\r_=ab1|%")), rapid.RuneFrom([]rune("路由é\u00a0")),
	)).Filter(func(s string) bool { return s != "" })
	rapid.Check(t, func(t *rapid.T) {
		s, n := word.Draw(t, "text"), word.Draw(t, "name")
		text := "global_defs {\n router_id " + conf.Quote(s) + "\n}\nbgp_speaker " + conf.Name(n) + " {\n}\n"
		tree, diags := conf.Tree("f", conf.FileMap{"f": text}, conf.Env{})
		if len(diags) > 0 {
			t.Fatalf("%s\n%s", text, lines(diags))
		}
		wantName := n
		if strings.HasPrefix(conf.Name(n), `"`) {
			wantName = strconv.Quote(n)
		}
		want := "~[global_defs]{\n  [router_id][" + strconv.Quote(s) + "]\n~[bgp_speaker][" + wantName + "]{\n"
		if tree != want {
			t.Fatalf("text\n%s\ntree\n%s\nwant\n%s", text, tree, want)
		}
	})
}
