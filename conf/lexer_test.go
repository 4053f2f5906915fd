package conf_test

import (
	"strings"
	"testing"

	"failoverd/conf"

	"github.com/google/go-cmp/cmp"
)

// TestLexicalRules holds the lexer to the rules of the language, one row each. The tree has a statement a line: words in
// brackets, a tilde where the line of text has a brace.
func TestLexicalRules(t *testing.T) {
	rows := []struct {
		name  string
		text  string
		tree  string
		diags string
	}{
		{"words are split at blanks and tabs", "  a\tb  c \n", "[a][b][c]\n", ""},
		{"carriage returns are blanks", "a b\r\nc\r\n", "[a][b]\n[c]\n", ""},
		{"the last line needs no line feed", "a b", "[a][b]\n", ""},
		{"a byte order mark is skipped", "\ufeffa\n", "[a]\n", ""},
		{"an empty file is an empty tree", "", "", ""},
		{"lines may be very long", strings.Repeat("x", 100000) + " y\n", "[" + strings.Repeat("x", 100000) + "][y]\n", ""},
		{"words keep other alphabets", "路由器 \"香 港\"\n", "[路由器][\"香 港\"]\n", ""},
		{"a NUL character is an error", "a b\x00c\n", "[a][b\x00c]\n", "f:1:4: error: the file contains a NUL character\n"},

		{"# starts a comment", "a # b\n# c\n", "[a]\n", ""},
		{"! starts a comment", "a ! b\n! c\n", "[a]\n", ""},
		{
			"a comment inside a word is warned about", "pass foo#bar\n", "[pass][foo]\n",
			"f:1:9: warning: comment starts inside a word; write \\# for the character itself, or put the word in double quotes\n",
		},
		{
			"a comment behind a quoted word is warned about", "pass \"foo\"!bar\n", "[pass][\"foo\"]\n",
			"f:1:11: warning: comment starts inside a word; write \\! for the character itself, or put the word in double quotes\n",
		},
		{"a comment behind a brace is not", "a {# b\n}! c\n", "~[a]{\n", ""},
		{"a backslash makes the marks characters", `a\#b\!c d`, "[a#b!c][d]\n", ""},
		{"a backslash before anything else is one", `a\b \\ c\`, `[a\b][\\][c\]` + "\n", ""},
		{"quotes hide comment marks and braces", `a "b # ! { } c"`, `[a]["b # ! { } c"]` + "\n", ""},
		{"quotes separate words", `abc"def"ghi`, `[abc]["def"][ghi]` + "\n", ""},
		{"quotes may be empty", `a ""`, `[a][""]` + "\n", ""},
		{"an escaped quote does not close", `a "b \"c\" d" e`, `[a]["b \"c\" d"][e]` + "\n", ""},
		{"a backslash may be the last character in quotes", `a "b\"`, `[a]["b\\"]` + "\n", ""},
		{"a quote that is not closed is an error", "a \"b c\nd\n", "[a][\"b c\"]\n[d]\n", "f:1:3: error: \" without a closing one on the line\n"},
		{"single quotes are characters", "a 'b c'\n", "[a]['b][c']\n", ""},
		{"a backslash at the end of a line does not continue it", "a \\\nb\n", "[a][\\]\n[b]\n", ""},

		{"a block may open at the end of a line", "a {\n b c\n}\n", "~[a]{\n  [b][c]\n", ""},
		{"a block may open without a blank", "a{\nb\n}\n", "~[a]{\n  [b]\n", ""},
		{"a block may open on the next line", "a\n\n# x\n{\nb\n}\n", "[a]{\n  [b]\n", ""},
		{"a block may stand on one line", "a { b c }\n", "~[a]{\n  ~[b][c]\n", ""},
		{"blocks may stand inside each other on one line", "a { b { c } d } e\n", "~[a]{\n  ~[b]{\n    ~[c]\n  ~[d]\n~[e]\n", ""},
		{"a line may start behind an opening brace", "a { b\nc } }\n", "~[a]{\n  ~[b]\n  ~[c]\n", "f:2:5: error: } without a { that it would close\n"},
		{"blocks may be empty", "a { }\nb {\n}\n", "~[a]{\n~[b]{\n", ""},
		{"a missing } is reported at its {", "a {\n b {\n }\n", "~[a]{\n  ~[b]{\n", "f:1:3: error: { is never closed: a } is missing somewhere after it\n"},
		{"a surplus } is reported and skipped", "a {\n}\n }\nb\n", "~[a]{\n[b]\n", "f:3:2: error: } without a { that it would close\n"},
		{
			"a { without a keyword is reported and its block skipped", "{ a }\nb { } { c }\n", "~[b]{\n",
			"f:1:1: error: { without a keyword before it; the block is skipped\nf:2:7: error: { without a keyword before it; the block is skipped\n",
		},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) { checkTree(t, conf.FileMap{"f": row.text}, row.tree, row.diags) })
	}
}

func checkTree(t *testing.T, files conf.FileMap, tree, diags string) {
	t.Helper()
	env := conf.Env{
		HostName: "cn.example.net",
		Random:   func(n uint64) uint64 { return n - 1 },
		Lookup: func(name string) (string, bool) {
			v, ok := map[string]string{"SITE": "hk", "LINES": "a\nb"}[name]
			return v, ok
		},
	}
	got, list := conf.Tree("f", files, env)
	if diff := cmp.Diff(tree, got); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(diags, lines(list)); diff != "" {
		t.Errorf("diagnostics (-want +got):\n%s", diff)
	}
}

func lines(diags []conf.Diagnostic) string {
	var b strings.Builder
	for _, d := range diags {
		b.WriteString(d.String() + "\n")
	}
	return b.String()
}

func TestSplitCommand(t *testing.T) {
	rows := []struct {
		name, text string
		want       []string
		err        error
	}{
		{"blanks separate", " /bin/echo  a\tb ", []string{"/bin/echo", "a", "b"}, nil},
		{"single quotes keep blanks", "/bin/echo 'one arg' x", []string{"/bin/echo", "one arg", "x"}, nil},
		{"double quotes keep blanks", `/bin/echo "one arg" x`, []string{"/bin/echo", "one arg", "x"}, nil},
		{"quotes may start and end inside a word", `/bin/tr"u"'e' a`, []string{"/bin/true", "a"}, nil},
		{"a quote of the other kind is a character", `a 'b"c' "d'e"`, []string{"a", `b"c`, "d'e"}, nil},
		{"an empty argument needs quotes", `a '' ""`, []string{"a", "", ""}, nil},
		{"a backslash keeps a blank", `/bin/echo two\ words`, []string{"/bin/echo", "two words"}, nil},
		{"named escapes", `a \a\b\E\f\n\r\t\v`, []string{"a", "\a\b\x1b\f\n\r\t\v"}, nil},
		{"octal escapes have up to three digits", `a \0601 \57 \1012`, []string{"a", "01", "/", "A2"}, nil},
		{"hexadecimal escapes have any number", `a \x74rue \x074z`, []string{"a", "true", "tz"}, nil},
		{"control characters", `a \cA`, []string{"a", "\x01"}, nil},
		{"other characters stand for themselves", `a \"\'\\\q\x\z`, []string{"a", `"'\qxz`}, nil},
		{"escapes work in quotes", `a '\x41\'' "\"b\""`, []string{"a", "A'", `"b"`}, nil},
		{"there is no shell", "a | b > c && d $X", []string{"a", "|", "b", ">", "c", "&&", "d", "$X"}, nil},
		{"a quote that is not closed is an error", "a 'b", nil, conf.ErrOpenQuote},
		{"a backslash at the end is an error", `a b\`, nil, conf.ErrOpenEscape},
		{"nothing is an error", "  ", nil, conf.ErrEmptyCommand},
		{"an empty program is an error", "'' a", nil, conf.ErrEmptyCommand},
		{"a NUL character cannot be passed", `a \0`, nil, conf.ErrNUL},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			got, err := conf.SplitCommand(row.text)
			if err != row.err {
				t.Fatalf("error %v, want %v", err, row.err)
			}
			if diff := cmp.Diff(row.want, got); diff != "" && row.err == nil {
				t.Errorf("arguments (-want +got):\n%s", diff)
			}
		})
	}
}
