package conf_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"failoverd/conf"
)

// docBlock is a block of code in a document: what completes it to a configuration that does something.
type docBlock struct {
	text     string // "%" stands for the block; empty: it is no configuration of ours
	dots     string // what a line of three dots stands for
	warnings []string
}

const (
	docRouter = "vrrp_instance A {\ninterface eth0\nvirtual_router_id 1\nversion 3\nadvert_int 1\npriority 100\nvirtual_ipaddress { 198.18.1.1/24 }\n" // without its end
	docSite   = "bgp_speaker EDGE {\nlocal_as 64512\nrouter_id 203.0.113.2\nallow_prefix { 192.0.2.0/24 }\nneighbor 203.0.113.1 { remote_as 64500 }\n}\n"
)

// docBlocks are the blocks of every document, in order. Those of README.md are tested in package integration.
var docBlocks = map[string][]docBlock{
	"anycast.md": {
		{text: "%"},
		{
			text: docSite + "health_check web { http http://127.0.0.1:8080/healthz }\n%",
			dots: "virtual_ipaddress { 192.0.2.1 }\ntrack_check { web }\nbgp_announce { 192.0.2.0/24 speaker EDGE }",
		},
	},
	"checkgroups.md": {{
		text: "health_check web_local { tcp 127.0.0.1:80 }\nhealth_check web_far { tcp 198.18.0.1:80 }\nvrrp_script mail_queue { script /bin/true }\n" +
			"health_check upstream_a { icmp 198.18.0.2 }\nhealth_check upstream_b { icmp 198.18.0.3 }\n%",
		dots: strings.TrimPrefix(docRouter, "vrrp_instance A {\n"),
	}},
	"checks.md":      {{text: "%" + docRouter + "track_check { web }\n}\n"}},
	"differences.md": nil,
	"gobgpd.md": {
		{text: "%" + docRouter + "bgp_announce { 192.0.2.1/32 speaker EDGE }\n}\n", warnings: []string{"gobgpd"}},
		{},
		{},
		{
			text:     "bgp_speaker EDGE {\nlocal_as 64512\nallow_prefix { 192.0.2.1/32 }\n%}\n" + docRouter + "bgp_announce { 192.0.2.1/32 speaker EDGE }\n}\n",
			warnings: []string{"gobgpd"},
		},
	},
	"rails.md":   {{text: "%" + docRouter + "bgp_announce { 198.51.100.0/24 speaker EDGE }\n}\n"}},
	"recipes.md": {{}},
	"regions.md": nil,
}

// TestDocumentExamples: every example in a document is one that check accepts, with no warning but those that are meant to be
// there, and means the same after the formatter.
func TestDocumentExamples(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("docs", "*.md"))
	if err != nil || len(files) != len(docBlocks) {
		t.Fatalf("%d documents, %d in the table, %v", len(files), len(docBlocks), err)
	}
	cert, key := keyPair(t)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(file)
		want, listed := docBlocks[name]
		parts := strings.Split(string(text), "```")
		if !listed || len(parts) != 2*len(want)+1 {
			t.Errorf("%s: %d blocks of code, want %d", name, len(parts)/2, len(want))
			continue
		}
		for i := range want {
			w := &want[i]
			if w.text == "" {
				continue
			}
			block := strings.Replace(parts[2*i+1], "    ...\n", w.dots+"\n", 1)
			files := conf.FileMap{
				"f": strings.Replace(w.text, "%", block, 1), "/etc/failoverd/gobgp-ca.pem": cert, "/etc/failoverd/failoverd.pem": cert, "/etc/failoverd/failoverd.key": key,
			}
			cfg, diags := conf.Parse("f", files, conf.Env{HostName: "n1"}, conf.Options{})
			if cfg == nil || len(diags) != len(w.warnings) {
				t.Errorf("%s, block %d:\n%s", name, i+1, lines(diags))
				continue
			}
			for j, d := range diags {
				if !strings.Contains(d.String(), w.warnings[j]) {
					t.Errorf("%s, block %d: %s, want a warning about %q", name, i+1, d, w.warnings[j])
				}
			}
			checkRoundTrip(t, cfg)
		}
	}
}
