package conf_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"failoverd/conf"
	"failoverd/failover"
)

// exampleNodes are the nodes that the examples of a region are for.
var exampleNodes = []struct{ node, file string }{
	{"m1", "primary"}, {"m2", "primary"}, {"hk", "watcher"}, {"sg", "witness"}, {"fra", "witness"},
}

// parseExample reads an example as one of its nodes, with a key in place.
func parseExample(t *testing.T, node, file string) *failover.Config {
	t.Helper()
	cfg, diags := parseExampleFile(t, node, "region/"+file+".conf")
	if cfg == nil || len(diags) > 0 {
		t.Fatalf("%s as %s: %s", file, node, lines(diags))
	}
	return cfg
}

func parseExampleFile(t *testing.T, node, file string) (*failover.Config, []conf.Diagnostic) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("examples", file))
	if err != nil {
		t.Fatal(err)
	}
	files := conf.FileMap{"f": string(text), "/etc/failoverd/region.key": key + "\n", "/etc/failoverd/vrrp.key": strings.ToUpper(key)}
	return conf.Parse("f", files, conf.Env{HostName: node, ConfigID: node}, conf.Options{})
}

// recipes are the files of conf/docs/recipes.md, with the nodes that read each and the warnings that are meant to be there.
var recipes = []struct {
	file     string
	nodes    []string
	warnings []string
}{
	{"ecmp/router.conf", []string{"r1", "r2"}, nil},
	{"covering/mainland.conf", []string{"m1", "m2"}, nil},
	{"covering/hongkong.conf", []string{"hk"}, nil},
	{"container/container.conf", []string{"box"}, nil},
	{"container/othersite.conf", []string{"far"}, nil},
	{"anycast/node.conf", []string{"node"}, []string{"gobgpd"}},
	{"scheduler/node.conf", []string{"a", "b", "c"}, nil},
	{"two-regions/mainland.conf", []string{"m"}, nil},
	{"two-regions/hongkong.conf", []string{"h1", "h2"}, nil},
	{"three-ways/embedded.conf", []string{"r1", "r2"}, nil},
	{"three-ways/gobgpd.conf", []string{"r1", "r2"}, []string{"gobgpd"}},
	{"three-ways/kernel.conf", []string{"r1", "r2"}, nil},
}

// TestRecipes: each file is without an error as each of its nodes, says no more than it is meant to, and means the same
// after the formatter.
func TestRecipes(t *testing.T) {
	for _, r := range recipes {
		for _, node := range r.nodes {
			t.Run(r.file+" as "+node, func(t *testing.T) {
				cfg, diags := parseExampleFile(t, node, r.file)
				if cfg == nil {
					t.Fatal(lines(diags))
				}
				if len(r.nodes) > 1 && cfg.RouterID != node {
					t.Errorf("router_id %q", cfg.RouterID)
				}
				if len(diags) != len(r.warnings) {
					t.Errorf("%d findings, want %d:\n%s", len(diags), len(r.warnings), lines(diags))
				}
				for i := range min(len(diags), len(r.warnings)) {
					if text := diags[i].String(); !strings.Contains(text, "warning") || !strings.Contains(text, r.warnings[i]) {
						t.Errorf("%s: want a warning about %q", text, r.warnings[i])
					}
				}
				checkRoundTrip(t, cfg)
			})
		}
	}
}

// TestEveryExampleIsTested: no file of an example is left out of the tables above.
func TestEveryExampleIsTested(t *testing.T) {
	tested := map[string]bool{}
	for _, n := range exampleNodes {
		tested["region/"+n.file+".conf"] = true
	}
	for _, r := range recipes {
		tested[r.file] = true
	}
	files, err := filepath.Glob(filepath.Join("examples", "*", "*.conf"))
	if err != nil || len(files) < len(recipes) {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, f := range files {
		name, err := filepath.Rel("examples", f)
		if err != nil || !tested[filepath.ToSlash(name)] {
			t.Errorf("%s is in no table", f)
		}
	}
}

// TestRegionExamples: each file is without a fault as each of its nodes, and means what it says.
func TestRegionExamples(t *testing.T) {
	for _, n := range exampleNodes {
		t.Run(n.node, func(t *testing.T) {
			cfg := parseExample(t, n.node, n.file)
			if cfg.RouterID != n.node {
				t.Errorf("router_id %q", cfg.RouterID)
			}
			checkRoundTrip(t, cfg)
			for _, r := range cfg.Routers {
				if g := r.Region; g.Home != "mainland" || len(g.Remote) == 0 {
					t.Errorf("region of %s: %+v", r.Name, g)
				}
			}
		})
	}
}

// TestRecoveryOfTheExamples compares what failoverd rto prints for the examples with the files in testdata/rto.
func TestRecoveryOfTheExamples(t *testing.T) {
	for _, n := range exampleNodes {
		t.Run(n.node, func(t *testing.T) {
			got := failover.RecoveryText(failover.RTO(parseExample(t, n.node, n.file)))
			file := filepath.Join("testdata", "rto", n.node+".txt")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s (-want +got; -update writes it):\n%s", file, diff)
			}
		})
	}
}

// TestRailsDocument: the example in docs/rails.md is without a fault, and its table has every default right.
func TestRailsDocument(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("docs", "rails.md"))
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(text), "```")
	if len(parts) != 3 {
		t.Fatalf("%d blocks of code", len(parts)/2)
	}
	cfg, diags := conf.Parse("f", conf.FileMap{"f": parts[1]}, conf.Env{HostName: "n1"}, conf.Options{})
	if cfg == nil || len(diags) > 0 {
		t.Fatal(lines(diags))
	}
	checkRoundTrip(t, cfg)
	plain := strings.NewReplacer("    max_changes 12\n", "", "    rpki_invalid refuse\n", "", "    max_announcements 2\n", "").Replace(parts[1])
	other, diags := conf.Parse("f", conf.FileMap{"f": plain}, conf.Env{HostName: "n1"}, conf.Options{})
	if other == nil {
		t.Fatal(lines(diags))
	}
	a, b := cfg.Speakers[0], other.Speakers[0]
	if a.MaxChanges != b.MaxChanges || a.RPKIWarn != b.RPKIWarn || len(a.RPKICaches) != 2 || b.MaxAnnouncements != 0 {
		t.Errorf("the defaults are not those of the document: %+v, %+v", a, b)
	}
}
