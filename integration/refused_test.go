package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestRefusedModes: the catalogue's requirements about modes that this version does not have. What it does about them is
// all that can be tested yet: such a mode is an error with a position, and never ignored - hosts would see another
// hardware address, or traffic that should have been dropped.
func TestRefusedModes(t *testing.T) {
	for _, c := range []struct{ name, line, want string }{
		{"V3-TX-01 adverts from the virtual MAC", "use_vmac", "use_vmac"},
		{"V3-TX-05 IPv6 adverts from a macvlan", "use_vmac vrrp6", "use_vmac"},
		{"V3-HOST-08 Accept_Mode false", "no_accept", "no_accept"},
		{"V3-HOST-10 frames to the virtual MAC are forwarded", "vmac_xmit_base", "vmac_xmit_base"},
		{"V3-HOST-11 redirects from the virtual router's interface", "use_vmac", "use_vmac"},
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
