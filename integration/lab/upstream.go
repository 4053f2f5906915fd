package lab

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"failoverd/bgp"
	"failoverd/bgp/gobgp"
	"failoverd/bgp/speaker"
)

// StartUpstream runs a BGP router on the node that installs what it learns into the node's kernel table. argv is a
// program, with the arguments before its flags, that hands the rest of its command line to UpstreamMain: for the
// failoverd binary, its path and "demo-upstream". env comes on top of the environment.
func (n *Node) StartUpstream(argv, env []string, cfg gobgp.RouterConfig) (*Process, error) {
	b, err := json.MarshalIndent(cfg, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("%s: start upstream: %w", n, err)
	}
	path, err := n.lab.WriteFile(n.name+"-upstream.json", string(b))
	if err != nil {
		return nil, fmt.Errorf("%s: start upstream: %w", n, err)
	}
	return n.Start(Command{Name: "upstream", Argv: append(append([]string{}, argv...), "--config", path), Env: env})
}

// UpstreamMain is the body of the program that StartUpstream runs: `--config FILE`, a gobgp.RouterConfig as JSON. It works
// in the network namespace of its process until ctx ends, then closes the sessions and takes its routes back. It logs
// to standard error.
func UpstreamMain(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("demo-upstream", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	file := flags.String("config", "", "")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("upstream: %w", err)
	}
	b, err := os.ReadFile(*file)
	if err != nil {
		return fmt.Errorf("upstream: %w", err)
	}
	var cfg gobgp.RouterConfig
	if err := json.Unmarshal(b, &cfg); err != nil {
		return fmt.Errorf("upstream: %s: %w", *file, err)
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	up, err := speaker.NewUpstream(cfg, log)
	if err != nil {
		return fmt.Errorf("upstream: %w", err)
	}
	fib := &forwardingTable{log: log}
	if err := fib.clear(); err != nil {
		return fmt.Errorf("upstream: %w", err)
	}
	session := func(s bgp.NeighborStatus) {
		log.Info("session", "peer", s.Address, "state", s.State.String(), "hold", s.HoldTime, "err", s.LastError)
	}
	err = up.Run(ctx, fib.set, session)
	return errors.Join(err, fib.clear())
}

// sessionChange is what an upstream logs of a session.
type sessionChange struct {
	at    time.Time
	peer  netip.Addr
	state bgp.SessionState
	why   string
}

// sessionLine is a line of UpstreamMain's log about a session, as slog's text handler writes it.
var sessionLine = regexp.MustCompile(`^time=(\S+) level=INFO msg=session peer=(\S+) state=(\S+) hold=\S+ err=("(?:[^"\\]|\\.)*"|\S*)$`)

// parseSessions reads the changes of sessions out of an upstream's log, in order. Other lines are left out, and so is a
// last line that is not complete.
func parseSessions(log string) (out []sessionChange) {
	for line := range strings.Lines(log) {
		if !strings.Contains(line, " msg=session ") { // most lines; the expression is not cheap
			continue
		}
		f := sessionLine.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if f == nil || !strings.HasSuffix(line, "\n") {
			continue
		}
		var c sessionChange
		var err1, err2 error
		c.at, err1 = time.Parse(time.RFC3339Nano, f[1])
		c.peer, err2 = netip.ParseAddr(f[2])
		if err1 != nil || err2 != nil || c.state.UnmarshalText([]byte(f[3])) != nil {
			continue
		}
		c.why = f[4]
		if s, err := strconv.Unquote(f[4]); err == nil {
			c.why = s
		}
		out = append(out, c)
	}
	return out
}

// forwardingTable writes the best paths of a BGP router into the main table of its namespace.
type forwardingTable struct{ log *slog.Logger }

// set follows one change. A route that the kernel refuses is logged: the router goes on, as a router would.
func (f *forwardingTable) set(p bgp.BestPath) {
	r := &netlink.Route{Dst: ipNet(p.Prefix), Protocol: unix.RTPROT_BGP}
	if p.Withdrawn {
		err := netlink.RouteDel(r)
		f.log.Info("route removed", "prefix", p.Prefix, "err", err)
		return
	}
	r.Gw = p.NextHop.AsSlice()
	err := netlink.RouteReplace(r)
	f.log.Info("route installed", "prefix", p.Prefix, "via", p.NextHop, "err", err)
}

// clear removes every route that a router of this kind has installed, also those of a dead predecessor.
func (f *forwardingTable) clear() error {
	var errs []error
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		ours := &netlink.Route{Protocol: unix.RTPROT_BGP}
		list, err := netlink.RouteListFiltered(family, ours, netlink.RT_FILTER_PROTOCOL)
		if err != nil {
			errs = append(errs, fmt.Errorf("list routes: %w", err))
		}
		for i := range list {
			if err := netlink.RouteDel(&list[i]); err != nil {
				errs = append(errs, fmt.Errorf("remove route %v: %w", list[i].Dst, err))
			}
		}
	}
	return errors.Join(errs...)
}
