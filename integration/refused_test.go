package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestRefusedModes: the catalogue's requirements about a mode that this version does not have, both versions at once. What
// it does about it is all that can be tested: such a mode is an error with a position, and never ignored - one half of
// the peers would not be heard.
func TestRefusedModes(t *testing.T) {
	for _, c := range []struct{ name, line, want string }{
		{"V2-MIX-01 versions 2 and 3 at once", "version 2 3", "3"},
		{"V2-MIX-02 versions 2 and 3 at a sub-second interval", "version 23", "version"},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "failoverd.conf")
			text := lines("vrrp_instance V {", "    interface eth0", "    virtual_router_id 51", "    "+c.line,
				"    virtual_ipaddress {", "        192.0.2.10/32", "    }", "}")
			must(t, os.WriteFile(file, []byte(text), 0o600))
			out, err := exec.Command(binary, "check", "-f", file).CombinedOutput()
			if err == nil || !strings.Contains(string(out), file+":4:") || !strings.Contains(string(out), c.want) {
				t.Errorf("check of %q: %v: %s", c.line, err, out)
			}
		})
	}
}
