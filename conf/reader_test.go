package conf_test

import (
	"fmt"
	"strings"
	"testing"

	"failoverd/conf"
)

// TestConditions: the config-id is "cn", the short form of the host name.
func TestConditions(t *testing.T) {
	rows := []struct{ name, text, tree, diags string }{
		{"@ID keeps a line for the id", "@cn a\n@hk b\n", "[a]\n", ""},
		{"@^ID keeps a line for all others", "@^cn a\n@^hk b\n", "[b]\n", ""},
		{"the id is compared whole", "@c a\n@cnn b\n@CN c\n", "", ""},
		{"conditions may be indented", "\t @cn a\n", "[a]\n", ""},
		{"conditions may be combined", "@cn @^hk a\n@cn @hk b\n", "[a]\n", ""},
		{"a condition alone is nothing", "@cn\n@hk\n", "", ""},
		{"conditions may guard braces", "@cn a {\n@hk b {\nc\n}\n", "~[a]{\n  [c]\n", ""},
		{"conditions may guard definitions", "@cn $A=1\n@hk $A=2\nx $A\n", "[x][1]\n", ""},
		{"a definition that does not apply takes its lines along", "@hk $A= \\\n x \\\n y\nz\n", "[z]\n", ""},
		{"conditions may come from a variable", "$S=@cn\n$T=@hk\n$S a\n$T b\n", "[a]\n", ""},
		{"a condition without an id is an error", "@ a\n", "", "f:1:1: error: @ without a config-id: write @ID or @^ID\n"},
		{"an @ elsewhere is a character", "a @cn b@c\n", "[a][@cn][b@c]\n", ""},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) { checkTree(t, conf.FileMap{"f": row.text}, row.tree, row.diags) })
	}
}

func TestVariables(t *testing.T) {
	rows := []struct{ name, text, tree, diags string }{
		{"$NAME and ${NAME} are replaced", "$A=1\nx $A ${A} y${A}z\n", "[x][1][1][y1z]\n", ""},
		{"$NAME is replaced inside a word when a blank follows", "$A=1\nx$A\n", "[x1]\n", ""},
		{
			"$NAME is not replaced when anything else follows", "$A=1\nx $A.5 \"$A\"\n", "[x][$A.5][\"$A\"]\n",
			"f:2:3: warning: $A is not replaced here, because no blank follows; write ${A}\n" +
				"f:2:9: warning: $A is not replaced here, because no blank follows; write ${A}\n",
		},
		{"values lose the blanks around them", "$A=  x y  # c\n<${A}>\n", "[<x][y>]\n", ""},
		{"values may be empty", "$A=\nx${A}y\n", "[xy]\n", ""},
		{"a line of an empty value is no statement", "$A=\n$A\nb\n", "[b]\n", ""},
		{"values keep their quotes", "$A=\"x # y\"\na $A\n", "[a][\"x # y\"]\n", ""},
		{"values are replaced when they are used", "$A=${B}1\n$B=x\na ${A}\n$B=y\na ${A}\n", "[a][x1]\n[a][y1]\n", ""},
		{"the last definition counts", "$A=1\n$A=2\nx $A\n", "[x][2]\n", ""},
		{"definitions may be indented", "  $A=1\nx $A\n", "[x][1]\n", ""},
		{
			"a blank before the equals sign makes it no definition", "$A = 1\n", "[$A][=][1]\n",
			"f:1:1: warning: $A is not defined and stays as it is\n",
		},
		{
			"what is not defined stays, braces and all", "a ${NO} $NO b\n", "[a][${NO}][$NO][b]\n",
			"f:1:3: warning: ${NO} is not defined and stays as it is\nf:1:9: warning: $NO is not defined and stays as it is\n",
		},
		{
			"what is not defined at the start of a line stays too", "$NO b\n", "[$NO][b]\n",
			"f:1:1: warning: $NO is not defined and stays as it is\n",
		},
		{"a dollar of a shell stays", "a \"$0 $(x) $$ ${y:-z}\" $1 \n", "[a][\"$0 $(x) $$ ${y:-z}\"][$1]\n", ""},
		{"a variable in a comment is none", "a # ${NO}\n", "[a]\n", ""},
		{
			"several lines", "$A= \\\n b { \\ # comment\n c ${N} \\\n }\n$N=1\n$A\n$N=2\n$A\n",
			"~[b]{\n  [c][1]\n~[b]{\n  [c][2]\n", "",
		},
		{"an empty line ends a definition", "$A= \\\n b \\\n\n c\n$A\n", "[c]\n[b]\n", ""},
		{"several lines inside a line", "$A= x \\\n y \\\n z\n1 ${A} 2\n", "[1][x]\n[y]\n[z][2]\n", ""},
		{"several lines inside each other", "$A= \\\n a \\\n b\n$B= \\\n 1 \\\n $A \\\n 2\n$B\n", "[1]\n[a]\n[b]\n[2]\n", ""},
		{"several lines with conditions and definitions", "$A= \\\n @cn x \\\n @hk y \\\n $N=3 \\\n z $N\n$A\n", "[x]\n[z][3]\n", ""},
		{
			"a definition that the file ends in", "$A= \\\n x \\", "",
			"f:1:1: error: the definition of $A still continues at the end of the file\n",
		},
		{"a variable of itself", "$A=x ${A}\ny ${A}\n", "[y][x]\n", "f:1:6: error: $A refers to itself (in $A, used at f:2:3)\n"},
		{
			"variables of each other", "$A=${B}\n$B=${A}\ny ${A}\n", "[y]\n",
			"f:2:4: error: $A refers to itself (in $A, used at f:3:3)\n",
		},
		{"a variable twice is not of itself", "$A=x\n$A $A ${A}${A}\n", "[x][x][xx]\n", ""},
		{"${_PWD} is the directory of the file", "a ${_PWD}\n", "[a][.]\n", ""},
		{"${_INSTANCE} is the config-id", "a ${_INSTANCE}\n", "[a][cn]\n", ""},
		{"${_HASH} and ${_BANG} start comments", "a ${_HASH} b\nc ${_BANG} d\n$D=${_HASH}\n$D e\n", "[a]\n[c]\n", ""},
		{"${_HASH} and ${_BANG} in quotes are characters", "a \"${_HASH}${_BANG}\"\n", "[a][\"#!\"]\n", ""},
		{"${_DOLLAR} is a dollar and nothing else", "$A=1\na \"${_DOLLAR}{A} ${_DOLLAR}{_HASH} ${_DOLLAR}A x\"\n", "[a][\"${A} ${_HASH} $A x\"]\n", ""},
		{"${_DOLLAR} stays one when the line is read again", "$A=1\n$B= \\\n x \\\n y\na ${_DOLLAR}A $B\n", "[a][$A]\n[x]\n[y]\n", ""},
		{"${_RANDOM} is 0 to 32767", "a ${_RANDOM}\n", "[a][32767]\n", ""},
		{"${_RANDOM MIN MAX}", "a ${_RANDOM 7} ${_RANDOM 3 5} ${_RANDOM 9 9}\n", "[a][32767][5][9]\n", ""},
		{
			"${_RANDOM} of nonsense", "a ${_RANDOM x}${_RANDOM 5 4}${_RANDOM 1 2 3}\n", "[a][000]\n",
			"f:1:3: error: ${_RANDOM x}: want ${_RANDOM [MIN [MAX]]} with numbers\n" +
				"f:1:15: error: ${_RANDOM 5 4}: the smallest value is above the largest, 4\n" +
				"f:1:29: error: ${_RANDOM 1 2 3}: want ${_RANDOM [MIN [MAX]]} with numbers\n",
		},
		{"${_ENV NAME} is of the environment", "a ${_ENV SITE} ${_ENV LINES}\n", "[a][hk][a][b]\n", ""},
		{
			"${_ENV NAME} that is not there", "a ${_ENV NO} ${_ENV}\n", "[a][${_ENV NO}]\n",
			"f:1:3: warning: ${_ENV NO} is not defined and stays as it is\nf:1:14: error: ${_ENV}: want ${_ENV NAME}\n",
		},
		{"predefined variables cannot be defined", "$_PWD=x\n", "", "f:1:1: error: $_PWD: names that start with an underscore are predefined\n"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) { checkTree(t, conf.FileMap{"f": row.text}, row.tree, row.diags) })
	}
}

func TestLoops(t *testing.T) {
	rows := []struct{ name, text, tree, diags string }{
		{"~SEQ(NAME, START, END)", "~SEQ(N, 1, 3) a ${N}\n", "[a][1]\n[a][2]\n[a][3]\n", ""},
		{"~SEQ counts down when the end is below", "~SEQ(N,2,0) a ${N}\n", "[a][2]\n[a][1]\n[a][0]\n", ""},
		{"~SEQ(NAME, START, STEP, END)", "~SEQ(N, 10, -2, 6) a$N\n", "[a10]\n[a8]\n[a6]\n", ""},
		{"~SEQ stops before it passes the end", "~SEQ(N, 1, 2, 4) $N\n", "[1]\n[3]\n", ""},
		{"~SEQ(NAME, END)", "~SEQ(N, 2) $N\n~SEQ(N, -2) $N\n", "[1]\n[2]\n[-1]\n[-2]\n", ""},
		{"~SEQx is hexadecimal, numbers may be", "~SEQx(N, 0x0e, 16) a${N}\n", "[ae]\n[af]\n[a10]\n", ""},
		{"loops inside each other", "~SEQ(A,1,2) ~SEQ(B,3,4) ${A}${B}\n", "[13]\n[14]\n[23]\n[24]\n", ""},
		{"arguments may be variables", "$E=2\n~SEQ(N,1,${E}) $N\n~SEQ(N,1,$E) $N\n", "[1]\n[2]\n[1]\n[2]\n", ""},
		{"the loop may come from a variable", "$L=~SEQ(N,1,2)\n$L a $N\n", "[a][1]\n[a][2]\n", ""},
		{"the body may be a variable of several lines", "$B= \\\n a { \\\n b $N \\\n }\n~SEQ(N,1,2) $B\n", "~[a]{\n  [b][1]\n~[a]{\n  [b][2]\n", ""},
		{"a loop may be conditional, and its body", "@cn ~SEQ(N,1,2) @cn a$N\n@hk ~SEQ(N,1,2) b\n", "[a1]\n[a2]\n", ""},
		{"the variable is as before behind the loop", "$N=x\n~SEQ(N,1,1) a $N\nb $N\n", "[a][1]\n[b][x]\n", ""},
		{"~LST(NAME, VALUE, ...)", "~LST(A, x, y) a ${A}\n", "[a][x]\n[a][y]\n", ""},
		{"~LST({NAME, ...}, {VALUE, ...}, ...)", "~LST({A, B}, {1, 2},{3,4}) ${A}${B}\n", "[12]\n[34]\n", ""},
		{"~LST and ~SEQ combine", "~LST(A, x, y) ~SEQ(N,1,2) ${A}$N\n", "[x1]\n[x2]\n[y1]\n[y2]\n", ""},
		{
			"an argument is one line", "$M= \\\n 1 \\\n 2\n~SEQ(N,$M) a\n", "",
			"f:4:8: error: $M has several lines and cannot stand here\n",
		},
		{"an argument may be missing", "$E=\n~LST(A,${E}) a\n", "", "f:2:1: error: ~LST(A,): want ~LST(NAME, VALUE, ...) or ~LST({NAME, ...}, {VALUE, ...}, ...)\n"},
		{
			"a group ends at a comma", "~LST({A} B, 1) a\n", "",
			"f:1:1: error: ~LST({A} B, 1): want ~LST(NAME, VALUE, ...) or ~LST({NAME, ...}, {VALUE, ...}, ...)\n",
		},
		{
			"a loop in the middle of a line is none", "a ~SEQ(N,1,2) b\n", "[a][~SEQ(N,1,2)][b]\n", "",
		},
		{
			"a loop must lead somewhere", "~SEQ(N,1,0,2) a\n~SEQ(N,1,1,0) a\n", "",
			"f:1:1: error: ~SEQ(N,1,0,2): steps of 0 never lead from 1 to 2\nf:2:1: error: ~SEQ(N,1,1,0): steps of 1 never lead from 1 to 0\n",
		},
		{
			"a loop is well formed", "~SEQ(N,a) x\n~SEQ(N) x\n~SEQ(1 2,3) x\n~SEQ(N,1,2\n~LST(A) x\n~LST({A,B},{1}) x\n~LST({A,B) x\n~SEQx(_N,1) x\n", "",
			"f:1:1: error: ~SEQ(N,a): \"a\" is not a number\n" +
				"f:2:1: error: ~SEQ(N): want ~SEQ(NAME, [START, [STEP,]] END)\n" +
				"f:3:1: error: ~SEQ: \"1 2\" is not the name of a variable\n" +
				"f:4:1: error: ~SEQ( is never closed: a ) is missing\n" +
				"f:5:1: error: ~LST(A): want ~LST(NAME, VALUE, ...) or ~LST({NAME, ...}, {VALUE, ...}, ...)\n" +
				"f:6:1: error: ~LST({A,B},{1}): 2 names, but 1 values in {1}\n" +
				"f:7:1: error: ~LST({A,B): want ~LST(NAME, VALUE, ...) or ~LST({NAME, ...}, {VALUE, ...}, ...)\n" +
				"f:8:1: error: ~SEQx: \"_N\" is not the name of a variable\n",
		},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) { checkTree(t, conf.FileMap{"f": row.text}, row.tree, row.diags) })
	}
}

func TestInclude(t *testing.T) {
	files := func(main string) conf.FileMap {
		return conf.FileMap{
			"f": main, "d/a.inc": "a\n", "d/b.inc": "b ${_PWD}\ninclude sub/c.inc\n", "d/sub/c.inc": "c $V\n",
			"d/self": "x\ninclude f2\n", "d/f2": "include self\n", "d/open": "o {\n", "/abs": "abs\n",
		}
	}
	rows := []struct{ name, text, tree, diags string }{
		{"a file is read where it is included", "1\ninclude d/a.inc\n2\n", "[1]\n[a]\n[2]\n", ""},
		{"names are relative to the including file", "$V=v\ninclude d/b.inc\n", "[b][d]\n[c][v]\n", ""},
		{"absolute names are absolute", "include /abs\n", "[abs]\n", ""},
		{"names may be quoted", "include \"d/a.inc\"\n", "[a]\n", ""},
		{"patterns include in order", "$V=v\ninclude d/*.inc\n", "[a]\n[b][d]\n[c][v]\n", ""},
		{"braces expand", "include d/{a,sub/{c}}.inc\n$V=v\n", "[a]\n[c][$V]\n", "d/sub/c.inc:1:3: warning: $V is not defined and stays as it is\n"},
		{"an include may stand in a block", "x {\n include d/a.inc\n}\n", "~[x]{\n  [a]\n", ""},
		{"an included file may open a block for its includer", "include d/open\na\n}\n", "~[o]{\n  [a]\n", ""},
		{"an include may be conditional", "@cn include d/a.inc\n@hk include nothing\n", "[a]\n", ""},
		{"an include may use variables", "$D=d\ninclude ${D}/a.inc\n", "[a]\n", ""},
		{"all variants include", "includer d/a.inc\nincludem d/a.inc\nincludew d/a.inc\nincludeb d/a.inc\nincludea d/a.inc\n", "[a]\n[a]\n[a]\n[a]\n[a]\n", ""},
		{"a word that only starts like it is none", "included x\n", "[included][x]\n", ""},
		{"a missing file is an error in every variant", "include no\nincluder no\n", "", "f:1:1: error: include no: open no: no such file\nf:2:1: error: includer no: open no: no such file\n"},
		{"a pattern without a match is a warning", "include d/*.no\n", "", "f:1:1: warning: include d/*.no: no file matches\n"},
		{"includer takes a pattern without a match", "includer d/*.no\n", "", ""},
		{"includew and includea want a match", "includew d/*.no\nincludea d/*.no\n", "", "f:1:1: error: includew d/*.no: no file matches d/*.no\nf:2:1: error: includea d/*.no: no file matches d/*.no\n"},
		{"one alternative of a brace is enough", "include d/{a,no}.inc\n", "[a]\n", ""},
		{"includeb wants every alternative", "includeb d/{a,no}.inc\n", "[a]\n", "f:1:1: error: includeb d/{a,no}.inc: open d/no.inc: no such file\n"},
		{"a file that includes itself is an error", "include d/self\n", "[x]\n", "d/f2:1:1: error: include: d/self includes itself: d/self -> d/f2 -> d/self\n"},
		{"a name is needed", "include\n", "", "f:1:1: error: include: the name of a file is missing\n"},
		{"a name is one line", "$M= \\\n a \\\n b\ninclude $M\n", "", "f:4:9: error: $M has several lines and cannot stand here\n"},
		{"a brace that is not closed stands for itself", "include d/{a\n", "", "f:1:1: error: include d/{a: open d/{a: no such file\n"},
		{"a bad pattern is an error", "includew d/[\n", "", "f:1:1: error: includew d/[: syntax error in pattern\n"},
		{"braces expand within reason", "include " + strings.Repeat("{a,b}", 11) + "\n", "", "f:1:1: error: include " + strings.Repeat("{a,b}", 11) + ": the braces expand to more than 1000 names\n"},
		{"a name has an end", "include " + strings.Repeat("x", 5000) + "\n", "", "f:1:1: error: include: a name of 5000 characters is too long\n"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) { checkTree(t, files(row.text), row.tree, row.diags) })
	}
}

func TestMissingFile(t *testing.T) {
	cfg, diags := conf.Parse("no.conf", conf.FileMap{}, conf.Env{}, conf.Options{Lenient: true})
	if got, want := lines(diags), "no.conf: error: read configuration no.conf: open no.conf: no such file\n"; cfg != nil || got != want {
		t.Errorf("got %v %q, want %q", cfg, got, want)
	}
}

// TestExpansionIsBounded: a few lines must not become gigabytes, and nesting must end.
func TestExpansionIsBounded(t *testing.T) {
	var double strings.Builder
	double.WriteString("$A0=xxxxxxxxxxxxxxxx\n")
	for i := 1; i < 60; i++ {
		fmt.Fprintf(&double, "$A%d=${A%d}${A%d}\n", i, i-1, i-1)
	}
	double.WriteString("${A59}\n")
	var nested strings.Builder
	for i := range 150 {
		fmt.Fprintf(&nested, "$B%d=${B%d}\n", i, i+1)
	}
	nested.WriteString("$B150=x\n${B0}\n")
	rows := []struct{ name, text, want string }{
		{"variables that double", double.String(), "becomes too large"},
		{"a sequence of millions", "~SEQ(N,1,2000000000) a ${N}\n", "becomes too large"},
		{"sequences of sequences", "~SEQ(A,1,9999) ~SEQ(B,1,9999) ~SEQ(C,1,9999) x\n", "becomes too large"},
		{"a file of short lines", strings.Repeat("a\n", 40000), "becomes too large"},
		{"a hundred variables inside each other", nested.String(), "nested more than 100 deep"},
		{"a hundred loops inside each other", strings.Repeat("~SEQ(N,1,1) ", 150) + "x\n", "more than 100 loops"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			_, diags := conf.SmallTree("f", conf.FileMap{"f": row.text}, conf.Env{})
			if len(diags) != 1 || !strings.Contains(diags[0].Message, row.want) {
				t.Errorf("got %d diagnostics, first %v; want one with %q", len(diags), diags[:min(1, len(diags))], row.want)
			}
		})
	}
}

// TestPositionsOfExpandedText: what stands in a variable is reported where it is written, with the place of its use.
func TestPositionsOfExpandedText(t *testing.T) {
	text := "$BODY= \\\n" +
		"  interface eth0 \\\n" +
		"  virtual_router_id ${ID} \\\n" +
		"  prioritty 1\n" +
		"$ID=300\n" +
		"vrrp_instance A {\n" +
		"  $BODY\n" +
		"  virtual_ipaddress {\n" +
		"    ~SEQ(N,255,256) 10.0.0.${N}\n" +
		"  }\n" +
		"}\n"
	_, diags := conf.Parse("f", conf.FileMap{"f": text}, conf.Env{}, conf.Options{})
	want := `f:4:3: error: unknown keyword "prioritty" in vrrp_instance (in $BODY, used at f:7:3) (did you mean "priority"?)
f:5:5: error: virtual_router_id 300: out of range (want 1 to 255) (in $BODY, used at f:7:3)
f:9:21: error: virtual address "10.0.0.256": not an IP address
`
	if got := lines(diags); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
