package conf_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"failoverd/conf"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// corpusIDs are the config-ids that files of the corpus are read with; all others get "high".
var corpusIDs = map[string]string{"own-dr-region-cn-hk": "cn", "own-lex-conditional": "cn"}

// TestCorpus reads every file of the corpus, as check does and as run does, and compares what is said about it.
func TestCorpus(t *testing.T) {
	files, err := filepath.Glob("testdata/corpus/*.conf")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files in the corpus, %v", len(files), err)
	}
	for _, file := range files {
		base := strings.TrimSuffix(filepath.Base(file), ".conf")
		t.Run(base, func(t *testing.T) {
			env := conf.Env{HostName: "node.example", ConfigID: "high"}
			if id := corpusIDs[base]; id != "" {
				env.ConfigID = id
			}
			src := dirSource("testdata/corpus")
			checked, strict := conf.Parse(filepath.Base(file), src, env, conf.Options{})
			run, lenient := conf.Parse(filepath.Base(file), src, env, conf.Options{Lenient: true})
			var b strings.Builder
			section := func(title string, diags []conf.Diagnostic) {
				b.WriteString("# " + title + "\n")
				for _, d := range diags {
					b.WriteString(d.String() + "\n")
				}
			}
			section("check", strict)
			if !cmp.Equal(strict, lenient) {
				section("run", lenient)
			}
			switch {
			case checked != nil:
				b.WriteString("# configuration\n" + conf.Format(checked))
			case run != nil:
				b.WriteString("# configuration when run\n" + conf.Format(run))
			}
			golden(t, "testdata/corpus/"+base+".golden", b.String())
		})
	}
}

// golden compares got with a file, or rewrites the file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got, -update rewrites it):\n%s", name, diff)
	}
}

// dirSource reads files of a directory.
type dirSource string

func (s dirSource) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(string(s), name)
}

func (s dirSource) Read(name string) ([]byte, error) { return os.ReadFile(s.path(name)) }

func (s dirSource) Glob(pattern string) ([]string, error) {
	names, err := filepath.Glob(s.path(pattern))
	for i := range names {
		names[i] = strings.TrimPrefix(names[i], string(s)+"/")
	}
	return names, err
}
