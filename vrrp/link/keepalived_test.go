package link

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"failoverd/vrrp/wire"
)

// keepalived runs keepalived in the namespace until stop is called, or the test ends.
func keepalived(t *testing.T, n namespace, config string) (stop func()) {
	t.Helper()
	path, err := exec.LookPath("keepalived")
	if err != nil {
		if os.Getenv("FAILOVERD_LABS") == "required" {
			t.Fatal("keepalived is not installed, and this run is to skip nothing")
		}
		t.Skip("SKIPPED, PROVES NOTHING: keepalived is not installed")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "keepalived.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd := exec.Command("/usr/sbin/ip", "netns", "exec", string(n), path, "-P", "-n", "-l", "-f", file,
		"-p", filepath.Join(dir, "pid"), "-r", filepath.Join(dir, "vrrp.pid"))
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		_ = cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		kill.Stop()
		if t.Failed() {
			t.Logf("keepalived says:\n%s", log.String())
		}
	}
	t.Cleanup(stop)
	return stop
}

// Frames from the virtual link-layer address, and without vmac_xmit_base from the interface's, are octet by octet those
// of keepalived with the same message, but for identification and flow label.
func TestFramesAreThoseOfKeepalived(t *testing.T) {
	const config = `
global_defs {
    vrrp_version %d
}
vrrp_instance V {
    interface ` + ifA + `
    virtual_router_id 51
    priority 200
    advert_int 1
    use_vmac
    %s
    virtual_ipaddress {
        %s
    }
}
`
	for _, tt := range []struct {
		name    string
		family  wire.Family
		version int
		base    bool
		vips    []string
	}{
		{"version 2", wire.IPv4, 2, false, []string{"192.0.2.10/24"}},
		{"version 3 IPv4", wire.IPv4, 3, false, []string{"192.0.2.10/24", "192.0.2.11/24"}},
		{"version 3 IPv6", wire.IPv6, 3, false, []string{"fe80::51/128", "2001:db8::51/128"}},
		{"version 3 IPv4 from the base interface", wire.IPv4, 3, true, []string{"192.0.2.10/24"}},
		{"version 3 IPv6 from the base interface", wire.IPv6, 3, true, []string{"fe80::51/128", "2001:db8::51/128"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			lab := newLab(t)
			wiretap := newTap(t, lab.b, ifB)
			source, option := virtualMAC(tt.family), ""
			if tt.base {
				source, option = macA, "vmac_xmit_base"
			}
			stop := keepalived(t, lab.a, fmt.Sprintf(config, tt.version, option, strings.Join(tt.vips, "\n        ")))
			want := wiretap.wait(source, 20*time.Second, isVRRP)
			stop()
			l := sender(t, lab.a, ID{ifA, tt.family})
			send := func() error { return l.SendFrom(source, want.body, want.from, want.to, 0) }
			if tt.base {
				send = func() error { return l.Send(want.body, want.from, want.to, 0) }
			}
			// Its last word has priority 0; what comes after that is ours.
			wiretap.next(source, func(f *frame) bool { return isVRRP(f) && f.body[2] == wire.PriorityRelease })
			if err := send(); err != nil {
				t.Fatal(err)
			}
			got := wiretap.next(source, func(f *frame) bool { return isVRRP(f) && f.body[2] != wire.PriorityRelease })
			if !bytes.Equal(masked(got), masked(want)) {
				t.Errorf("\n      got % x\nkeepalived % x", masked(got), masked(want))
			}
		})
	}
}
