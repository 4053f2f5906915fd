package integration

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"failoverd/integration/lab"
)

// recipe is how people fail over between regions with keepalived, a ping and BIRD: a node that is alone on its loopback
// interface becomes MASTER while the other region does not answer, and its notify scripts add and delete the route that
// BIRD exports. Nothing in it is ours.
const recipe = `global_defs {
    router_id hk
    script_user root
    enable_script_security
}
vrrp_script cn_is_dead {
    script "%[1]s/cn-is-dead.sh"
    interval 5
    timeout 2
    fall 3
    rise 2
}
vrrp_instance HK {
    state BACKUP
    nopreempt
    interface lo
    virtual_router_id 66
    priority 100
    advert_int 1
    virtual_ipaddress {
        198.51.100.1/32 dev lo
    }
    track_script {
        cn_is_dead
    }
    notify_master "%[1]s/announce.sh"
    notify_backup "%[1]s/withdraw.sh"
}
`

// recipeScripts are the scripts of the recipe. The check succeeds only while the mainland does not answer.
var recipeScripts = map[string]string{
	"cn-is-dead.sh": "#!/bin/sh\nif ping -c 1 -W 1 192.0.2.50 >/dev/null 2>&1; then exit 1; fi\nexit 0\n",
	"announce.sh":   "#!/bin/sh\nip route replace 198.51.100.0/24 dev lo\n",
	"withdraw.sh":   "#!/bin/sh\nip route del 198.51.100.0/24 dev lo 2>/dev/null\nexit 0\n",
}

// recipeBIRD exports what the scripts put into the kernel.
const recipeBIRD = `log stderr all;
router id 192.0.2.1;
protocol device { scan time 1; }
protocol kernel { learn; scan time 1; ipv4 { import where net = 198.51.100.0/24; export none; }; }
protocol bgp up {
	local 192.0.2.1 as 64501; neighbor 192.0.2.3 as 64500;
	connect delay time 1; connect retry time 1; error wait time 1, 2;
	ipv4 { import none; export where net = 198.51.100.0/24; };
}
`

// TestRegionalRecipe: the mainland's address dies and Hong Kong announces; it returns and Hong Kong withdraws.
func TestRegionalRecipe(t *testing.T) {
	t.Parallel()
	need(t, "bird", "birdc", "ping")
	e := newEdge(t, "")
	cn, _ := e.host("cn", "192.0.2.50/24")
	dir := e.lab.Dir()
	for name, text := range recipeScripts {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755))
	}
	path, err := e.lab.WriteFile("hk.bird.conf", recipeBIRD)
	must(t, err)
	_, err = e.a.Start(lab.Command{Name: "bird-hk", Argv: []string{"bird", "-f", "-c", path, "-s", filepath.Join(dir, "hk.ctl")}})
	must(t, err)
	conf := fmt.Sprintf(recipe, dir)
	if out, code := checkText(t, conf); code != 0 {
		t.Errorf("check has errors for the recipe:\n%s", out)
	}
	hk := startAgent(t, e.lab, e.a, conf)
	hk.waitState("FAULT", 10*time.Second) // the mainland answers: the check fails
	e.never(t, 3*time.Second)

	dead := time.Now()
	must(t, cn.DeleteAddress("eth0", "192.0.2.50/24"))
	// Two runs that succeed, 5 s apart, each after a ping of 1 s; Active_Down_Interval; BIRD's scan.
	e.waitRoute("192.0.2.1", true, 5*time.Second+2*6*time.Second+4*time.Second+10*slack)
	t.Logf("announced %v after the mainland died", time.Since(dead).Round(100*time.Millisecond))
	if r := hk.router(); r.State != "MASTER" {
		t.Errorf("state %s", r.State)
	}

	back := time.Now()
	must(t, cn.AddAddress("eth0", "192.0.2.50/24"))
	e.waitRoute("192.0.2.1", false, 5*time.Second+3*5*time.Second+4*time.Second+10*slack)
	t.Logf("withdrawn %v after it came back", time.Since(back).Round(100*time.Millisecond))
	hk.waitState("FAULT", time.Second)
	if why := hk.router().Why; !strings.Contains(why, "cn_is_dead") {
		t.Errorf("the reason %q does not name the check", why)
	}
	must(t, hk.proc.Signal(syscall.SIGTERM))
	if st, err := hk.proc.Wait(6 * time.Second); err != nil || st.ExitCode() != 0 {
		t.Errorf("stop: %v, %v", st, err)
	}
}

// never asserts that the upstream has no route to the service for a while.
func (e *edge) never(t *testing.T, d time.Duration) {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if out := e.up.ask("show", "route", service); strings.Contains(out, service) {
			t.Fatalf("the upstream has the route:\n%s", out)
		}
	}
}

// checkText runs check on a text and returns what it said and its exit code.
func checkText(t *testing.T, text string) (string, int) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "check.conf")
	must(t, os.WriteFile(path, []byte(text), 0o600))
	return local(t, binary, "check", "-f", path)
}

// local runs a program that needs no network.
func local(t *testing.T, argv ...string) (string, int) {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}
