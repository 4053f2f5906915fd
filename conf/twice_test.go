package conf_test

import (
	"strings"
	"testing"

	"failoverd/conf"
)

// TestTwice: of a keyword that has one value the last one counts, as with keepalived, and is warned of with both places; not
// so where a second one adds something, nor in another block.
func TestTwice(t *testing.T) {
	const instance = "vrrp_instance A {\n interface e0\n virtual_router_id 1\n virtual_ipaddress { 10.0.0.1 }\n"
	for _, c := range []struct {
		name, text, format, diags string
	}{
		{"priority", instance + " priority 100\n priority 150\n}\n", "priority 150", "f:6:2: warning: priority replaces the one at f:5:2\n"},
		{"three", instance + " priority 1\n priority 2\n priority 3\n}\n", "priority 3", "f:6:2: warning: priority replaces the one at f:5:2\nf:7:2: warning: priority replaces the one at f:6:2\n"},
		{"two blocks of globals", instance + "}\nglobal_defs { router_id a }\nglobal_defs { router_id b }\n", "router_id \"b\"", "f:7:15: warning: router_id replaces the one at f:6:15\n"},
		{"two instances", instance + " priority 9\n}\n" + strings.NewReplacer("A", "B", "id 1", "id 2", "0.1", "0.2").Replace(instance) + " priority 8\n}\n", "priority 8", ""},
		{"a second block of addresses", instance + " virtual_ipaddress { 10.0.0.9 }\n}\n", "10.0.0.9/32", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, list := conf.Parse("f", conf.FileMap{"f": c.text}, conf.Env{HostName: "n"}, conf.Options{})
			if got := lines(list); got != c.diags {
				t.Errorf("says\n%swant\n%s", got, c.diags)
			}
			if cfg == nil || !strings.Contains(conf.Format(cfg), c.format) {
				t.Errorf("no %q", c.format)
			}
		})
	}
}

// TestConfigIDOfNobody: a config-id that somebody asks for, and that no line is about, is most likely misspelled.
func TestConfigIDOfNobody(t *testing.T) {
	const text = "vrrp_instance A {\n interface e0\n virtual_router_id 1\n virtual_ipaddress { 10.0.0.1 }\n @r1 priority 1\n @^r2 nopreempt\n}\n"
	for _, c := range []struct{ name, id, text, diags string }{
		{"known", "r1", text, ""},
		{"known as what it must not be", "r2", text, ""},
		{"misspelled", "r3", text, "f:5:2: warning: no line begins with @r3, the config-id that was asked for; there are @r1, @r2\n"},
		{"none was asked for", "", text, ""},
		{"a file without conditions", "r3", strings.NewReplacer("@r1 ", "", "@^r2 nopreempt", "").Replace(text), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, list := conf.Parse("f", conf.FileMap{"f": c.text}, conf.Env{HostName: "n", ConfigID: c.id}, conf.Options{})
			if got := lines(list); got != c.diags {
				t.Errorf("says\n%swant\n%s", got, c.diags)
			}
		})
	}
}
