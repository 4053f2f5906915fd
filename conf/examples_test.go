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
	text, err := os.ReadFile(filepath.Join("examples", "region", file+".conf"))
	if err != nil {
		t.Fatal(err)
	}
	files := conf.FileMap{"f": string(text), "/etc/failoverd/region.key": key + "\n", "/etc/failoverd/vrrp.key": strings.ToUpper(key)}
	cfg, diags := conf.Parse("f", files, conf.Env{HostName: node, ConfigID: node}, conf.Options{})
	if cfg == nil || len(diags) > 0 {
		t.Fatalf("%s as %s: %s", file, node, lines(diags))
	}
	return cfg
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
