package conf_test

import (
	"os"
	"path/filepath"
	"testing"

	"failoverd/conf"
)

// fuzzEnv is deterministic, so that a text means the same each time it is read.
var fuzzEnv = conf.Env{
	HostName: "node.example",
	Random:   func(n uint64) uint64 { return n / 2 },
	Lookup:   func(name string) (string, bool) { return "v " + name, name == "SITE" },
}

// fuzzFiles are those that a text under test may refer to.
func fuzzFiles(text []byte) conf.FileMap {
	return conf.FileMap{
		"f": string(text), "inc": "priority 7\n", "self": "include self\n", "pair": "include pair2\n", "pair2": "include pair\n",
		"key": "a \"$b\\\n",
	}
}

func seeds(f *testing.F) {
	for _, pattern := range []string{"testdata/corpus/*.conf", "testdata/bench/*.conf", "testdata/region/*.conf", "testdata/*.conf"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, name := range files {
			text, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	for _, s := range []string{
		"include f\ninclude {self,pair}\ninclude i*\n", "$A=${A}${B}\n$B=$A \n$A\n", "~SEQ(A,1,99999) ~SEQ(B,1,99999) x ${A}${B}\n",
		"~LST({A,B},{1,2}) ${_RANDOM 1 5}${_ENV SITE}${_DOLLAR}\n", "a { b } } c { \"d", "vrrp_instance \"\x00\" { interface \xff }",
		"vrrp_script a { script \"/bin/x 'y\" }\nvrrp_script b { script </x\n }\ntrack_process { a\\ weight 3 }\nglobal_defs { notify_fifo /x\\ u }",
		"vrrp_instance A { interface lo virtual_router_id 1 no_virtual_ipaddress track_interface { lo lo weight 4 reverse e1 } dont_track_primary notify '\n notify_stop 'a b' c }",
		"bgp_speaker \"a $ b\" { local_as 1 router_id 1.1.1.1 allow_prefix { 10.0.0.0/8 }\nneighbor 10.0.0.1 { remote_as 2 password_file key description \"x\\\"\" } }\n" +
			"vrrp_instance a'b\\ { interface e0 virtual_router_id 1 virtual_ipaddress { 10.1.0.1 label \"\\\"\" }\n bgp_announce { 10.0.0.0/8 next_hop 11.0.0.1 speaker \"a $ b\" } }",
	} {
		f.Add([]byte(s))
	}
}

// FuzzParse: whatever the text, Parse returns, and returns either a configuration or an error that has a place.
func FuzzParse(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, lenient := range []bool{false, true} {
			got, diags := conf.ParseSmall("f", fuzzFiles(text), fuzzEnv, conf.Options{Lenient: lenient})
			if (got == "") != conf.HasErrors(diags) {
				t.Fatalf("configuration %q with\n%s", got, lines(diags))
			}
			for _, d := range diags {
				if d.Pos.File == "" || d.Pos.Line < 1 || d.Pos.Column < 1 || d.Message == "" {
					t.Fatalf("diagnostic without a place or text: %+v", d)
				}
			}
		}
	})
}

// FuzzRoundTrip: what Format writes is read back without an error, and written again the same.
func FuzzRoundTrip(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		first, _ := conf.ParseSmall("f", fuzzFiles(text), fuzzEnv, conf.Options{Lenient: true})
		if first == "" {
			t.Skip("no configuration")
		}
		cfg, _ := conf.Parse("f", conf.FileMap{"f": first}, fuzzEnv, conf.Options{})
		if cfg == nil {
			_, diags := conf.Parse("f", conf.FileMap{"f": first}, fuzzEnv, conf.Options{})
			t.Fatalf("refused:\n%s\n%s", lines(diags), first)
		}
		checkRoundTrip(t, cfg)
		if second := conf.Format(cfg); second != first {
			t.Fatalf("first\n%s\nthen\n%s", first, second)
		}
	})
}

// FuzzSplitCommand: no text makes it fail in another way than by its errors, and no argument has a NUL.
func FuzzSplitCommand(f *testing.F) {
	for _, s := range []string{`/bin/echo 'one arg' two\ words "three"`, `\x41\101\cA\q`, `'`, `\`, ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		args, err := conf.SplitCommand(s)
		if err == nil && (len(args) == 0 || args[0] == "") {
			t.Fatalf("%q: arguments %q", s, args)
		}
	})
}
