package vrrptest

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// Script interprets a course of events on a Network of production routers. A script is a text of blocks:
//
//	# comment
//	router a priority 200 interval 100
//	router b priority 100 nopreempt
//	start a b
//	run 3.5s
//	----
//	0.000000 a: Initialize -> Backup (startup)
//	...
//
// Commands stand above the line ----, and what came of them below it, up to an empty line. The commands:
//
//	router NAME [priority N] [interval CS] [address A] [version N] [preempt_delay D] [nopreempt] [silent] [last_word]
//	start NAME...      crash NAME...      stop NAME...      suspend NAME...      pause NAME...      resume NAME...
//	hold NAME...       unhold NAME...     priority NAME N
//	joint NAME...      unjoint NAME...    promote NAME...    demote NAME...
//	drop FROM->TO      drop A<->B         heal FROM->TO     heal A<->B
//	send NAME priority N [interval CS] [count N] [every D]     (adverts in NAME's name, whatever its router thinks)
//	run D              show NAME...       adverts on|off    (whether Active routers' regular adverts are logged)
//
// Priority defaults to 100, interval to 100 cs, address to 192.0.2.1 and so on. Packets take one millisecond. NAME
// stands for any name given by router.
type Script struct {
	net   *Network
	nodes map[string]*Node
	log   Log
}

const scriptDelay = time.Millisecond

// NewScript returns an interpreter with an empty network.
func NewScript() *Script {
	s := &Script{net: NewNetwork(Production, nil), nodes: make(map[string]*Node)}
	s.net.Observe = s.log.Observe
	return s
}

// Run carries out a script and returns its text with the output that it had. An error names the line.
func (s *Script) Run(text string) (string, error) {
	var out strings.Builder
	skipping := false // old output
	for i, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		command := strings.TrimSpace(line)
		switch {
		case command == "":
			skipping = false
			fmt.Fprintln(&out)
		case skipping:
		case command == "----":
			skipping = true
			fmt.Fprintln(&out, line)
			out.WriteString(s.log.String())
			s.log.Reset()
		default:
			fmt.Fprintln(&out, line)
			if strings.HasPrefix(command, "#") {
				continue
			}
			if err := s.execute(strings.Fields(command)); err != nil {
				return "", fmt.Errorf("line %d: %s: %w", i+1, command, err)
			}
		}
	}
	return out.String(), nil
}

// execute carries out one command.
func (s *Script) execute(words []string) error {
	verb, args := words[0], words[1:]
	each := map[string]func(*Node){
		"start": s.net.Start, "crash": s.net.Crash, "stop": s.net.Stop,
		"suspend": s.net.Suspend, "pause": s.net.Pause, "resume": s.net.Resume,
		"hold":   func(n *Node) { n.router().SetHold(true) },
		"unhold": func(n *Node) { n.router().SetHold(false) },
		"joint":  func(n *Node) { n.router().SetJoint(true) },
		"unjoint": func(n *Node) {
			s.net.change(n, func(vrrp.Instant) vrrp.Effect { n.router().SetJoint(false); return vrrp.Effect{} })
		},
		"promote": func(n *Node) { s.net.change(n, n.Machine.Promote) },
		"demote": func(n *Node) {
			s.net.change(n, func(now vrrp.Instant) vrrp.Effect { return n.Machine.Demote(now, 0) })
		},
		"show": s.show,
	}
	if f := each[verb]; f != nil {
		return s.forEach(args, f)
	}
	options := map[string]func([]string) error{
		"router": s.router, "run": s.run, "drop": s.cut(true), "heal": s.cut(false), "send": s.send,
		"priority": s.priority, "adverts": s.adverts,
	}
	if f := options[verb]; f != nil && len(args) > 0 {
		return f(args)
	}
	return fmt.Errorf("no such command, or no argument")
}

func (s *Script) node(name string) (*Node, error) {
	if n := s.nodes[name]; n != nil {
		return n, nil
	}
	return nil, fmt.Errorf("no router %q", name)
}

func (s *Script) forEach(names []string, f func(*Node)) error {
	for _, name := range names {
		n, err := s.node(name)
		if err != nil {
			return err
		}
		f(n)
	}
	return nil
}

// router returns the node's machine, which in a script is a *vrrp.Router as soon as it is up.
func (node *Node) router() *vrrp.Router { return node.Machine.(*vrrp.Router) }

func (s *Script) router(args []string) error {
	name := args[0]
	if s.nodes[name] != nil {
		return fmt.Errorf("router %q exists", name)
	}
	cfg := vrrp.Config{
		Key:     vrrp.Key{Interface: "lan", Family: wire.IPv4, VRID: 51},
		Version: wire.V3, Priority: wire.PriorityDefault, Interval: 100, Preempt: true,
		Addresses: []netip.Addr{netip.AddrFrom4([4]byte{198, 51, 100, 10})},
	}
	address := netip.AddrFrom4([4]byte{192, 0, 2, byte(len(s.nodes) + 1)})
	o := options{args: args[1:]}
	for o.next() {
		switch o.word {
		case "priority":
			cfg.Priority = uint8(o.number(255))
		case "interval":
			cfg.Interval = wire.Centiseconds(o.number(25500))
		case "version":
			cfg.Version = wire.Version(o.number(3))
		case "address":
			address = o.address()
		case "preempt_delay":
			cfg.PreemptDelay = o.duration()
		case "nopreempt":
			cfg.Preempt = false
		case "silent":
			cfg.SilentOnLowerPriority = true
		case "last_word":
			cfg.LastWord = true
		default:
			o.unknown()
		}
	}
	if o.err != nil {
		return o.err
	}
	if _, err := vrrp.New(cfg); err != nil {
		return err
	}
	n := s.net.Add(name, cfg, address)
	s.nodes[name] = n
	for _, other := range s.net.nodes {
		s.net.Path(n, other).Delay, s.net.Path(other, n).Delay = scriptDelay, scriptDelay
	}
	return nil
}

func (s *Script) run(args []string) error {
	d, err := time.ParseDuration(args[0])
	if err != nil {
		return err
	}
	s.net.Run(s.net.now.Add(d))
	return nil
}

// cut makes the command that cuts paths or mends them.
func (s *Script) cut(cut bool) func([]string) error {
	return func(args []string) error {
		for _, arg := range args {
			from, to, both := strings.Cut(arg, "<->")
			if !both {
				from, to, _ = strings.Cut(arg, "->")
			}
			a, err := s.node(from)
			if err != nil {
				return err
			}
			b, err := s.node(to)
			if err != nil {
				return err
			}
			s.net.Path(a, b).Cut = cut
			if both {
				s.net.Path(b, a).Cut = cut
			}
		}
		return nil
	}
}

func (s *Script) send(args []string) error {
	from, err := s.node(args[0])
	if err != nil {
		return err
	}
	a := wire.Advertisement{
		Version: from.Config.Version, VRID: from.Config.Key.VRID, Interval: from.Config.Interval,
		Addresses: from.Config.Addresses,
	}
	count, every := 1, time.Duration(0)
	o := options{args: args[1:]}
	for o.next() {
		switch o.word {
		case "priority":
			a.Priority = uint8(o.number(255))
		case "interval":
			a.Interval = wire.Centiseconds(o.number(4095))
		case "count":
			count = o.number(100000)
		case "every":
			every = o.duration()
		default:
			o.unknown()
		}
	}
	if o.err != nil {
		return o.err
	}
	for range count {
		s.net.Inject(from, &a, wire.IPv4.Group())
		s.net.Run(s.net.now.Add(every))
	}
	return nil
}

func (s *Script) priority(args []string) error {
	n, err := s.node(args[0])
	if err != nil {
		return err
	}
	o := options{args: append([]string{"to"}, args[1:]...)}
	o.next()
	p := o.number(255)
	if o.err == nil {
		n.router().SetPriority(uint8(p))
	}
	return o.err
}

func (s *Script) adverts(args []string) error {
	s.log.Quiet = args[0] == "off"
	if !s.log.Quiet && args[0] != "on" {
		return fmt.Errorf("want on or off")
	}
	return nil
}

func (s *Script) show(n *Node) {
	if n.Machine == nil {
		fmt.Fprintf(&s.log.b, "%s %s: down\n", seconds(s.net.now), n.Name)
		return
	}
	state := func(m Machine) string {
		if n.router().Ready() {
			return m.State().String() + ", ready,"
		}
		return m.State().String()
	}
	fmt.Fprintf(&s.log.b, "%s %s: %v priority %d learned interval %d timer %s\n", seconds(s.net.now), n.Name,
		state(n.Machine), n.Machine.Priority(), n.Machine.LearnedInterval(), seconds(n.global(n.Machine.Deadline())))
}
