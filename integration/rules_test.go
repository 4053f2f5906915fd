// Package integration holds the labs: failoverd as a black box in network namespaces, beside real keepalived, FRR,
// BIRD and gobgpd. It also holds the rules of the architecture that a machine can check.
package integration

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// room is what one package may import besides the standard library.
type room struct {
	pure   bool     // no socket, no file, no goroutine, no clock, no global random source, no log
	own    []string // packages of this module
	others []string // packages of other modules, by prefix
}

const module = "failoverd"

// rooms is the architecture: a strict order of who may import whom.
var rooms = map[string]room{
	"vrrp/wire": {pure: true},
	"bgp":       {pure: true},
	// The RPKI to Router protocol, as the packet format is of VRRP: what it means for our announcements is decided above.
	"bgp/rtr": {pure: true, own: []string{"bgp"}},
	"vrrp":    {pure: true, own: []string{"vrrp/wire"}},
	// What the sites say to each other, as the packet format is what routers do: below who decides what it means.
	"failover/heartbeat": {pure: true},
	"failover":           {pure: true, own: []string{"vrrp", "vrrp/wire", "bgp", "failover/heartbeat"}},
	"conf":               {pure: true, own: []string{"failover", "vrrp", "vrrp/wire", "bgp", "failover/heartbeat"}},
	// What the core was told and decided, as text, and the way back: as pure as the core, and without it there is no replay.
	"failover/record": {pure: true, own: []string{"failover", "vrrp", "vrrp/wire", "bgp"}},
	"vrrp/link": {own: []string{"vrrp/wire", "vrrp"}, others: []string{
		"golang.org/x/sys/unix", "golang.org/x/net/", "github.com/mdlayher/arp", "github.com/mdlayher/ndp", "github.com/mdlayher/packet", "github.com/mdlayher/ethernet",
	}},
	// Sessions with RPKI caches: sockets and timers for bgp/rtr, with the standard library alone.
	"bgp/rpki": {own: []string{"bgp", "bgp/rtr"}},
	// How agent and speaker talk when it is urgent: neither BGP nor gobgp, and both sides must say the same.
	"bgp/call": {others: []string{"google.golang.org/grpc", "google.golang.org/protobuf", "golang.org/x/sys/unix"}},
	"bgp/gobgp": {own: []string{"bgp", "bgp/call"}, others: []string{
		"github.com/osrg/gobgp/v3/api", "google.golang.org/grpc", "google.golang.org/protobuf", "golang.org/x/sys/unix",
	}},
	// The server's methods take api types, which only bgp/gobgp may name: so the process's body and its supervisor stand on it.
	"bgp/speaker": {own: []string{"bgp", "bgp/call", "bgp/gobgp"}, others: []string{
		"github.com/osrg/gobgp/v3/", "google.golang.org/grpc", "google.golang.org/protobuf", "golang.org/x/sys/unix",
	}},
	"failover/kernel": {own: []string{"failover", "vrrp", "bgp"}, others: []string{
		"github.com/vishvananda/netlink", "github.com/google/nftables", "github.com/mdlayher/netlink", "golang.org/x/sys/unix", "golang.org/x/net/bpf",
	}},
	"failover/status": {own: []string{"failover", "vrrp", "vrrp/wire", "bgp"}, others: []string{"golang.org/x/sys/unix"}},
	// What the agent looks like to Prometheus: a view of the snapshot, as status is.
	"failover/metrics": {own: []string{"failover", "bgp"}, others: []string{"github.com/prometheus/client_golang/prometheus", "golang.org/x/net/netutil"}},
	"failover/witness": {own: []string{"failover", "failover/heartbeat"}, others: []string{"golang.org/x/sys/unix"}},
	// Checks and notifications both run programs: how that is done safely is in one place.
	"failover/script": {own: []string{"failover"}, others: []string{"golang.org/x/sys/unix"}},
	"failover/health": {
		own: []string{"failover", "failover/script", "bgp"},
		others: []string{
			"golang.org/x/sys/unix", "golang.org/x/net/icmp", "golang.org/x/net/ipv4", "golang.org/x/net/ipv6", "golang.org/x/net/http2",
			"github.com/miekg/dns", "google.golang.org/grpc",
		},
	},
	"failover/notify": {own: []string{"failover", "failover/script"}, others: []string{"golang.org/x/sys/unix"}},
	"failover/daemon": {
		own: []string{
			"failover", "vrrp", "vrrp/wire", "bgp", "conf", "vrrp/link", "bgp/gobgp", "bgp/rpki", "bgp/speaker", "failover/kernel", "failover/status",
			"failover/health", "failover/notify", "failover/script", "failover/witness", "failover/heartbeat", "failover/supervisor", "failover/metrics",
			"failover/record",
		},
		others: []string{"github.com/coreos/go-systemd/v22/daemon", "golang.org/x/sys/unix"},
	},
	// It outlives the agent, so it knows as little as possible: processes, signals, one socket pair, and how an
	// advertisement that is ready leaves.
	"failover/supervisor": {own: []string{"vrrp/link", "vrrp/wire"}, others: []string{"golang.org/x/sys/unix"}},
	"cmd/failoverd": {
		own:    []string{"failover", "failover/record", "failover/daemon", "failover/supervisor", "conf", "failover/status", "bgp/speaker", "integration/lab"},
		others: []string{"github.com/spf13/cobra", "github.com/spf13/pflag", "golang.org/x/sys/unix"},
	},
	// The labs look from outside, so they have netlink and BGP tools of their own.
	"integration/lab": {
		own: []string{"failover", "vrrp/wire", "bgp", "bgp/gobgp", "bgp/speaker", "vrrp"},
		others: []string{
			"github.com/vishvananda/netlink", "github.com/vishvananda/netns", "golang.org/x/sys/unix", "golang.org/x/net/", "github.com/mdlayher/packet", "github.com/mdlayher/ndp", "github.com/mdlayher/arp",
		},
	},
	"integration": {},
}

// onlyImporter names the packages that exactly one room - and the labs - may import, and why.
var onlyImporter = []struct{ prefix, room, why string }{
	{"github.com/vishvananda/netlink", "failover/kernel", "one place knows how addresses are written"},
	{"github.com/miekg/dns", "failover/health", "nobody else asks a name server"},
	{"github.com/prometheus/client_golang", "failover/metrics", "one place knows the names of metrics"},
	{"github.com/google/nftables", "failover/kernel", "one place knows how packets are filtered"},
	{"github.com/osrg/gobgp/v3/pkg/server", "bgp/speaker", "a panic in gobgp must not take VRRP with it"},
	{"github.com/osrg/gobgp/v3/api", "bgp/gobgp", "a later major version is then a change of one room"},
}

// TestImports checks every non-test file against the rooms.
func TestImports(t *testing.T) {
	forEachFile(t, func(t *testing.T, dir, path string, f *ast.File) {
		r, ok := rooms[dir]
		if !ok {
			if strings.HasSuffix(dir, "test") {
				return // test packages; TestTestPackages says who may import them
			}
			t.Errorf("%s: %s is not a room of the architecture", path, dir)
			return
		}
		for _, imp := range f.Imports {
			name, _ := strconv.Unquote(imp.Path.Value)
			if msg := forbidden(dir, r, name); msg != "" {
				t.Errorf("%s imports %s: %s", path, name, msg)
			}
		}
	})
}

func forbidden(dir string, r room, name string) string {
	if own, ok := strings.CutPrefix(name, module+"/"); ok {
		if strings.HasSuffix(own, "test") {
			return "test packages are for tests"
		}
		if !slices.Contains(r.own, own) {
			return fmt.Sprintf("%s is not below %s in the order of rooms", own, dir)
		}
		return ""
	}
	first, _, _ := strings.Cut(name, "/")
	if !strings.Contains(first, ".") {
		return ""
	}
	for _, o := range onlyImporter {
		exempt := o.room == dir || dir == "integration/lab" || (dir == "bgp/speaker" && strings.HasPrefix(name, "github.com/osrg/gobgp"))
		if strings.HasPrefix(name, o.prefix) && !exempt {
			return "only " + o.room + " may: " + o.why
		}
	}
	if !slices.ContainsFunc(r.others, func(p string) bool { return strings.HasPrefix(name, p) }) {
		return "not on the list of " + dir
	}
	return ""
}

// impure names what a pure room must not touch: package, then functions ("*": all of it).
var impure = map[string][]string{
	"os": {"*"}, "net": {"*"}, "net/http": {"*"}, "syscall": {"*"}, "log": {"*"}, "log/slog": {"*"}, "os/exec": {"*"},
	"io/ioutil": {"*"}, "math/rand": {"*"}, "math/rand/v2": {"*"}, "crypto/rand": {"*"}, "sync": {"*"},
	"time": {"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"},
}

// TestPurity checks that the pure rooms open nothing, start nothing, and read neither a clock nor a random source.
func TestPurity(t *testing.T) {
	forEachFile(t, func(t *testing.T, dir, path string, f *ast.File) {
		if !rooms[dir].pure {
			return
		}
		names := make(map[string]string) // local name -> import path
		for _, imp := range f.Imports {
			name, _ := strconv.Unquote(imp.Path.Value)
			local := filepath.Base(name)
			if imp.Name != nil {
				local = imp.Name.Name
			}
			names[local] = name
			if slices.Contains(impure[name], "*") {
				t.Errorf("%s imports %s: a pure room has no use for it", path, name)
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s starts a goroutine", path)
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && slices.Contains(impure[names[x.Name]], n.Sel.Name) {
					t.Errorf("%s uses %s.%s: time is an argument here", path, x.Name, n.Sel.Name)
				}
			}
			return true
		})
	})
}

// TestRulesCanFail shows that the rules above find what they are for.
func TestRulesCanFail(t *testing.T) {
	for _, c := range []struct{ dir, imports string }{
		{"vrrp", module + "/failover"},
		{"failover", module + "/vrrp/link"},
		{"failover/status", "github.com/vishvananda/netlink"},
		{"failover/daemon", "github.com/osrg/gobgp/v3/pkg/server"},
		{"conf", "github.com/spf13/cobra"},
		{"cmd/failoverd", module + "/vrrp/vrrptest"},
	} {
		if forbidden(c.dir, rooms[c.dir], c.imports) == "" {
			t.Errorf("%s may import %s, and must not", c.dir, c.imports)
		}
	}
}

// TestTopLevel checks that nothing else has moved in beside the six rooms.
func TestTopLevel(t *testing.T) {
	allowed := []string{"vrrp", "bgp", "failover", "cmd", "conf", "integration", "go.mod", "go.sum", "README.md", "LICENSE"}
	entries, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if n := e.Name(); !strings.HasPrefix(n, ".") && !slices.Contains(allowed, n) && n != "failoverd" {
			t.Errorf("%s does not belong at the top level", n)
		}
	}
}

// forEachFile calls f for every non-test Go file of the module.
func forEachFile(t *testing.T, f func(t *testing.T, dir, path string, file *ast.File)) {
	t.Helper()
	root := ".."
	seen := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if n := d.Name(); path != root && (strings.HasPrefix(n, ".") || n == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		seen++
		f(t, filepath.Dir(rel), rel, file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 20 {
		t.Fatalf("only %d files seen: the walk is wrong", seen)
	}
}
