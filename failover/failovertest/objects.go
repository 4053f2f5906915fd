package failovertest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"failoverd/failover"
)

// objectLine reads a line about what is in the kernel besides virtual addresses, or about notifications; ok is false if
// it is no such line. Lines of their own:
//
//	static_address PREFIX INTERFACE [lease D]
//	static_route ROUTE
//	static_rule RULE
//	fifo PATH
//	states_on_reload
//
// and lines that follow that of a router:
//
//	route PREFIX [via ADDRESS] [dev INTERFACE] [src ADDRESS] [table N] [metric N]
//	rule [from PREFIX] [to PREFIX] table N priority N
//	notify [master|backup|fault|stop|deleted|rival|any PROGRAM]... [deleted_word] [priority_changes]
//	vmac NAME [xmit_base]
//	no_accept
func (p *configParser) objectLine(word string, w *words) (ok bool) {
	cfg := p.cfg
	switch word {
	case "static_address":
		var r failover.RouterConfig
		p.virtual(w, &r)
		cfg.StaticAddresses = append(cfg.StaticAddresses, r.Addresses...)
		return true
	case "static_route":
		cfg.StaticRoutes = append(cfg.StaticRoutes, p.route(w))
		return true
	case "static_rule":
		cfg.StaticRules = append(cfg.StaticRules, p.rule(w))
		return true
	case "fifo":
		cfg.FIFOs = append(cfg.FIFOs, failover.FIFOConfig{Path: w.next()})
		return true
	case "states_on_reload":
		cfg.StatesOnReload = true
		return true
	}
	if len(cfg.Routers) == 0 {
		return false
	}
	switch r := &cfg.Routers[len(cfg.Routers)-1]; word {
	case "route":
		r.Routes = append(r.Routes, p.route(w))
	case "rule":
		r.Rules = append(r.Rules, p.rule(w))
	case "notify":
		p.notify(w, &r.Notify)
	case "vmac":
		r.VMAC = &failover.VMAC{Name: w.next(), MAC: virtualMAC(r.VRRP.Key), XmitBase: w.next() == "xmit_base"}
	case "no_accept":
		r.NoAccept = true
	default:
		return false
	}
	return true
}

func (p *configParser) route(w *words) failover.KernelRoute {
	r := failover.KernelRoute{Type: 1, Destination: p.prefix(w), Table: 254}
	for len(*w) > 0 {
		switch o := w.next(); o {
		case "via":
			r.Gateway = p.address(w)
		case "dev":
			r.Interface = w.next()
		case "src":
			r.Source = p.address(w)
		case "table":
			r.Table = uint32(p.number(w))
		case "metric":
			r.Metric = uint32(p.number(w))
		default:
			p.wrong("unknown word %q", o)
		}
	}
	return r
}

func (p *configParser) rule(w *words) failover.KernelRule {
	r := failover.KernelRule{Action: 1}
	for len(*w) > 0 {
		switch o := w.next(); o {
		case "from":
			r.From = p.prefix(w)
		case "to":
			r.To = p.prefix(w)
		case "table":
			r.Table = uint32(p.number(w))
		case "priority":
			r.Priority = uint32(p.number(w))
		default:
			p.wrong("unknown word %q", o)
		}
	}
	return r
}

func (p *configParser) notify(w *words, n *failover.NotifyConfig) {
	for len(*w) > 0 {
		o := w.next()
		switch o {
		case "deleted_word":
			n.DeletedWord = true
			continue
		case "priority_changes":
			n.PriorityChanges = true
			continue
		}
		places := map[string]**failover.Command{
			"master": &n.Master, "backup": &n.Backup, "fault": &n.Fault, "stop": &n.Stop, "deleted": &n.Deleted,
			"rival": &n.RivalHeard, "any": &n.Any,
		}
		if places[o] == nil {
			p.wrong("unknown word %q", o)
			return
		}
		*places[o] = &failover.Command{Args: []string{w.next()}}
	}
}

// objects reports the routes and rules that were asked for last as done, apart from the exceptions.
func (s *script) objects(p *configParser, w *words) {
	if w.next() != "report" {
		p.wrong("want: objects report")
	}
	rep := failover.ObjectReport{
		Generation:   s.askedObjects.Generation,
		RoutesFailed: make(map[failover.RouteKey]string), RulesFailed: make(map[failover.KernelRule]string),
	}
	for len(*w) > 0 {
		o := w.next()
		switch o {
		case "generation":
			rep.Generation = uint64(p.number(w))
			continue
		case "swept":
			rep.Swept = p.number(w)
			continue
		case "failed", "restored":
		default:
			p.wrong("unknown word %q", o)
			return
		}
		// An object is named by its place in what was asked for, routes first, from 1.
		switch i := p.number(w) - 1; {
		case i < 0 || i >= len(s.askedObjects.Routes)+len(s.askedObjects.Rules):
			p.wrong("object %d was not asked for", i+1)
		case i < len(s.askedObjects.Routes):
			k := s.askedObjects.Routes[i].Key()
			if o == "failed" {
				rep.RoutesFailed[k] = "network is unreachable"
			} else {
				rep.RoutesRestored = append(rep.RoutesRestored, k)
			}
		default:
			r := s.askedObjects.Rules[i-len(s.askedObjects.Routes)]
			if o == "failed" {
				rep.RulesFailed[r] = "invalid argument"
			} else {
				rep.RulesRestored = append(rep.RulesRestored, r)
			}
		}
	}
	s.step(failover.ObjectsReported{Report: rep})
}

// devices reports the macvlan interfaces that are not as wanted, and the packet filter if it is called "filter".
func (s *script) devices(p *configParser, w *words) {
	if w.next() != "report" {
		p.wrong("want: devices report")
	}
	in := failover.DevicesReported{Failed: make(map[string]string)}
	for len(*w) > 0 {
		if name := w.next(); name == "filter" {
			in.Filter = "operation not supported"
		} else {
			in.Failed[name] = "file exists"
		}
	}
	s.step(in)
}

func describeObjects(d *failover.DesiredObjects) string {
	var list []string
	for i := range d.Routes {
		list = append(list, d.Routes[i].String())
	}
	for i := range d.Rules {
		list = append(list, "rule "+d.Rules[i].String())
	}
	return fmt.Sprintf("objects #%d: %s", d.Generation, orNone(list))
}

// unheard reports whether there is neither a FIFO nor a command for a notification.
func (s *script) unheard(n failover.Notification) bool {
	return len(s.cfg.FIFOs) == 0 && len(commands(&n)) == 0
}

// commands returns what is run for a notification.
func commands(n *failover.Notification) (run []string) {
	if n.Quiet {
		return nil
	}
	c := n.Commands
	own := map[string]*failover.Command{
		"MASTER": c.Master, "BACKUP": c.Backup, "FAULT": c.Fault, "STOP": c.Stop, "DELETED": c.Deleted, "MASTER_RX_LOWER_PRI": c.RivalHeard,
	}[n.State]
	if own != nil {
		run = append(run, strings.Join(own.Args, " "))
	}
	if c.Any != nil {
		run = append(run, strings.Join(slices.Concat(c.Any.Args, []string{n.Type(), n.Name, n.State, strconv.Itoa(int(n.Priority))}), " "))
	}
	return run
}

// describeNotification returns "tell TYPE NAME STATE PRIORITY", and what is run.
func describeNotification(n *failover.Notification) string {
	s := fmt.Sprintf("tell %s %s %s %d", n.Type(), n.Name, n.State, n.Priority)
	if run := commands(n); len(run) > 0 {
		return s + ": run " + strings.Join(run, "; ")
	}
	return s + when(n.Quiet, ", quietly")
}

// describeKernelObjects returns what a snapshot says of routes and rules, in words.
func describeKernelObjects(list []failover.ObjectStatus) (lines []string) {
	for i := range list {
		o := &list[i]
		lines = append(lines, fmt.Sprintf("  %s %s%s%s", o.Kind, o.Object, when(o.Wanted, " wanted"), when(o.Error != "", " error: "+o.Error)))
	}
	return lines
}
