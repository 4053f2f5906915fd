package failovertest

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"failoverd/bgp"
	"failoverd/failover"
	"failoverd/failover/record"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// Script runs a text against one Core and returns it with the effects that every command had. In the text,
//
//	# ...      is a comment
//	| ...      is a line of the configuration that the command "config" above it begins (see ParseConfig)
//	> ...      is a command
//
// and every other line that is not empty is the effect of the command above it, which Script writes anew. A test is a
// file that does not change. The commands:
//
//	config NAME                                     the lines that follow are the configuration NAME
//	start NAME                                      make the core, at time 0
//	follow NAME resume|resign within D [after D] {KEY|SERVICE [at PRIORITY] [last REASON]}...
//	                                                make another core, after one that has just died, and that had these
//	                                                roles; after: so much later it gets to taking them over
//	testament                                       what becomes of the roles if it dies now
//	reload NAME
//	stop [REASON]
//	drain [ROUTER] [for D] [by NAME] [because REASON]
//	undrain [ROUTER] [by NAME]
//	switchover ROUTER [by NAME] [because REASON]
//	interface NAME up|down|gone [loopback] [PREFIX]...
//	link INTERFACE/FAMILY open|closed [REASON]      a socket; the interface is "unicast" for the unicast link
//	advert from ADDRESS [priority N] [interval D] [router NAME] [vrid N] [to ADDRESS] [ttl N] [on LINK] [times N]
//	claim INTERFACE ADDRESS MAC [times N]           another host says that it has an address
//	kernel reports [generation N] [without PREFIX]... [failed PREFIX]... [restored PREFIX]... [leftover PREFIX]...
//	       [swept PREFIX]... [foreign PREFIX]...    whatever was asked for last, and the exceptions
//	speaker NAME up|down [REASON]                   its process
//	speaker NAME established|lost [REASON]          its session
//	speaker NAME acknowledges [generation N]        what was asked for last
//	objects report [generation N] [failed N]... [restored N]... [swept N]
//	                                                the routes and rules that were asked for last; N is a place among them
//	devices report [NAME|filter]...                 which macvlan interfaces are not as wanted, and the packet filter
//	tracker script|process NAME ok|failed [REASON]  a check
//	tracker file NAME is N | absent | failed [REASON]
//	together, end                                   what is between them is one batch
//	wait D [quietly]                                time passes, and deadlines are met; quietly: adverts are counted only
//	sleep D                                         time passes, and the process stands still
//	takeovers                                       from here on, show the evidence of transitions and the stages of takeovers
//	status
//
// Each command is one batch, as in the daemon: the input, then what is due, then Flush.
func Script(text string) (string, error) { return runScript(text, nil) }

func runScript(text string, trace io.Writer) (string, error) {
	s := script{
		trace:   trace,
		configs: make(map[string]string), desired: make(map[string]bgp.Desired), reports: make(map[string]*bgp.Report),
	}
	for i, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
			s.out.WriteString(line + "\n")
		case strings.HasPrefix(line, "|"):
			s.out.WriteString(line + "\n")
			s.configs[s.open] += strings.TrimPrefix(line, "|") + "\n"
		case strings.HasPrefix(line, ">"):
			s.out.WriteString(line + "\n")
			if err := s.command(strings.Fields(line[1:])); err != nil {
				return "", fmt.Errorf("line %d: %s: %w", i+1, line, err)
			}
		}
	}
	return s.out.String(), nil
}

type script struct {
	out     strings.Builder
	configs map[string]string
	open    string // the configuration whose lines are read

	trace    io.Writer
	core     *record.Core
	cfg      *failover.Config
	now      vrrp.Instant
	fx       failover.Effects
	together bool
	orders   uint64       // how many switchovers there were
	old      *record.Core // has the roles while core awaits them

	takeovers bool // are shown in full

	asked        failover.DesiredAddresses
	askedObjects failover.DesiredObjects
	desired      map[string]bgp.Desired
	reports      map[string]*bgp.Report
}

func (s *script) command(w words) error {
	p := &configParser{}
	switch verb := w.next(); verb {
	case "config":
		s.open = w.next()
		return nil
	case "start":
		return s.start(w.next())
	case "follow":
		return s.follow(p, &w)
	case "testament":
		s.testament()
	case "await":
		return s.await(w.next())
	case "upgrade":
		return s.upgrade()
	case "reload":
		cfg, err := ParseConfig(s.configs[w.next()])
		if err != nil {
			return err
		}
		s.cfg = cfg
		s.step(failover.Reconfigured{Config: cfg})
	case "stop":
		s.step(failover.Stop{Reason: strings.Join(w, " ")})
		return nil
	case "drain", "undrain", "switchover":
		s.person(p, verb, &w)
	case "interface":
		s.iface(p, &w)
	case "link":
		s.link(p, &w)
	case "advert":
		s.advert(p, &w)
	case "claim":
		s.claim(p, &w)
	case "kernel":
		s.kernel(p, &w)
	case "speaker":
		s.speaker(p, &w)
	case "objects":
		s.objects(p, &w)
	case "devices":
		s.devices(p, &w)
	case "tracker":
		s.tracker(p, &w)
	case "together":
		s.together = true
	case "end":
		s.together = false
		s.batch(false)
	case "wait":
		s.wait(p.duration(&w), w.next() == "quietly")
	case "sleep":
		s.now = s.now.Add(p.duration(&w))
	case "takeovers":
		s.takeovers = true
	case "status":
		s.status()
	default:
		return fmt.Errorf("unknown command %q", verb)
	}
	if len(p.errors) == 0 && len(w) > 0 {
		return fmt.Errorf("unexpected %q", w[0])
	}
	return first(p.errors)
}

func (s *script) start(name string) error {
	var err error
	if s.cfg, err = ParseConfig(s.configs[name]); err != nil {
		return err
	}
	if s.core, err = NewCore(s.trace, s.cfg, s.now); err != nil {
		return err
	}
	s.batch(false)
	return nil
}

func (s *script) step(in failover.Input) {
	s.core.Step(s.now, in, &s.fx)
	s.batch(false)
}

// batch ends a batch as the daemon does, unless more inputs are to be in it. It returns how many adverts it left out.
func (s *script) batch(quietly bool) (adverts int) {
	if s.together {
		return 0
	}
	if s.core.Deadline() <= s.now {
		s.core.Expire(s.now, &s.fx)
	}
	s.core.Flush(s.now, &s.fx)
	if quietly {
		adverts, s.fx.Adverts = len(s.fx.Adverts), nil
	}
	s.fx.Notifications = slices.DeleteFunc(s.fx.Notifications, s.unheard)
	if !s.takeovers {
		s.fx.Events = slices.DeleteFunc(s.fx.Events, func(e failover.Event) bool { return e.Kind == failover.EventTakeover })
	}
	for _, line := range Describe(&s.fx) {
		s.say("%s", line)
	}
	if s.takeovers {
		s.evidence()
	}
	if s.fx.Addresses != nil {
		s.asked = *s.fx.Addresses
	}
	if s.fx.Objects != nil {
		s.askedObjects = *s.fx.Objects
	}
	for _, r := range s.fx.Routes {
		s.desired[r.Speaker] = r.Desired
	}
	s.fx.Reset()
	return adverts
}

func (s *script) say(format string, args ...any) {
	fmt.Fprintf(&s.out, "    %s  %s\n", FormatInstant(s.now), fmt.Sprintf(format, args...))
}

// FormatInstant formats an instant as seconds with microseconds, without what is zero.
func FormatInstant(i vrrp.Instant) string {
	whole, frac := i/1e9, fmt.Sprintf("%06d", i%1e9/1e3)
	frac = strings.TrimRight(frac, "0")
	return fmt.Sprintf("%d.%s", whole, frac+strings.Repeat("0", max(0, 3-len(frac))))
}

func (s *script) wait(d time.Duration, quietly bool) {
	target, adverts := s.now.Add(d), 0
	if s.old != nil {
		s.now = target // nothing is due of a core that awaits its turn
		return
	}
	for n := 0; s.core.Deadline() <= target; n++ {
		if n > 100_000 {
			s.say("the core spins")
			return
		}
		s.now = max(s.now, s.core.Deadline())
		adverts += s.batch(quietly)
	}
	s.now = target
	if adverts > 0 {
		s.say("(%d advertisements)", adverts)
	}
}

func (s *script) iface(p *configParser, w *words) {
	i := failover.Interface{Name: w.next(), Index: 2, MTU: 1500}
	switch state := w.next(); state {
	case "up":
		i.Up = true
	case "down":
	case "gone":
		i.Index = 0
	default:
		p.wrong("interface state %q", state)
	}
	for len(*w) > 0 {
		if (*w)[0] == "loopback" {
			i.Loopback = true
			w.next()
			continue
		}
		i.Addresses = append(i.Addresses, p.prefix(w))
	}
	s.step(failover.InterfaceChanged{Interface: i})
}

func (s *script) claim(p *configParser, w *words) {
	in := failover.AddressClaimed{Interface: w.next()}
	var err error
	if in.Address, err = netip.ParseAddr(w.next()); err != nil {
		p.wrong("address: %v", err)
	}
	mac, err := hex.DecodeString(strings.ReplaceAll(w.next(), ":", ""))
	if err != nil || len(mac) != len(in.MAC) {
		p.wrong("link-layer address %x: %v", mac, err)
		return
	}
	in.MAC = [6]byte(mac)
	times := 1
	if len(*w) > 0 && (*w)[0] == "times" {
		w.next()
		times = p.number(w)
	}
	for range times {
		s.step(in)
	}
}

func (s *script) link(p *configParser, w *words) {
	in := failover.LinkChanged{Link: p.linkID(w.next())}
	switch state := w.next(); state {
	case "open":
		in.Open = true
	case "closed":
		in.Err = strings.Join(*w, " ")
		*w = nil
	default:
		p.wrong("link state %q", state)
	}
	s.step(in)
}

func (p *configParser) linkID(s string) failover.LinkID {
	name, family, _ := strings.Cut(s, "/")
	if name == "unicast" {
		name = ""
	}
	f, err := strconv.Atoi(family)
	return failover.LinkID{Interface: name, Family: wire.Family(parsed(p, f, err))}
}

// advert encodes an advertisement as another router would send it, and feeds what a socket would make of it.
func (s *script) advert(p *configParser, w *words) {
	r := &s.cfg.Routers[0]
	if i := slices.Index(*w, "router"); i >= 0 && i+1 < len(*w) {
		name := (*w)[i+1]
		if j := slices.IndexFunc(s.cfg.Routers, func(r failover.RouterConfig) bool { return r.Name == name }); j >= 0 {
			r = &s.cfg.Routers[j]
		}
	}
	k := r.VRRP.Key
	a := wire.Advertisement{
		Version: r.VRRP.Version, VRID: k.VRID, Priority: wire.PriorityDefault, Interval: r.VRRP.Interval, Addresses: r.VRRP.Addresses,
	}
	h := wire.Header{Dst: k.Family.Group(), TTL: wire.TTL}
	for _, g := range []netip.Addr{s.cfg.Multicast.IPv4, s.cfg.Multicast.IPv6} {
		if g.IsValid() && wire.FamilyOf(g) == k.Family {
			h.Dst = g
		}
	}
	link, times := failover.LinkID{Interface: k.Interface, Family: k.Family}, 1
	for len(*w) > 0 {
		switch o := w.next(); o {
		case "router":
			w.next()
		case "from":
			h.Src = p.address(w)
		case "to":
			h.Dst, link.Interface = p.address(w), ""
		case "ttl":
			h.TTL = uint8(p.number(w))
		case "on":
			link = p.linkID(w.next())
		case "priority":
			a.Priority = uint8(p.number(w))
		case "interval":
			a.Interval = wire.Centiseconds(p.duration(w) / (10 * time.Millisecond))
		case "vrid":
			a.VRID = uint8(p.number(w))
		case "times":
			times = p.number(w)
		default:
			p.wrong("unknown word %q", o)
		}
	}
	b, err := a.Append(nil, h.Src, h.Dst, r.VRRP.Checksum)
	if err != nil {
		p.errors = append(p.errors, err)
		return
	}
	var pk wire.Packet
	h.Group = group(h.Dst)
	for range times {
		if why := wire.Parse(b, h, &pk); why != wire.Accepted {
			s.say("refused by the codec: %s", why)
		} else if why := s.core.Receive(s.now, link, &pk, &s.fx); why != wire.Accepted {
			s.say("dropped: %s", why)
		}
	}
	s.batch(false)
}

// kernel reports what was asked for last as done, apart from the exceptions.
func (s *script) kernel(p *configParser, w *words) {
	if w.next() != "reports" {
		p.wrong("want: kernel reports")
	}
	rep := failover.AddressReport{Generation: s.asked.Generation, Failed: make(map[failover.AddressKey]string)}
	var without []failover.AddressKey
	for len(*w) > 0 {
		switch o := w.next(); o {
		case "generation":
			rep.Generation = uint64(p.number(w))
		case "without":
			without = append(without, s.key(p, w))
		case "failed":
			k := s.key(p, w)
			without, rep.Failed[k] = append(without, k), "no space left"
		case "restored":
			rep.Restored = append(rep.Restored, s.key(p, w))
		case "leftover":
			rep.Leftover = append(rep.Leftover, s.key(p, w))
		case "swept":
			rep.Swept = append(rep.Swept, s.key(p, w))
		case "foreign":
			rep.Foreign = append(rep.Foreign, s.key(p, w))
		default:
			p.wrong("unknown word %q", o)
		}
	}
	for i := range s.asked.Addresses {
		if k := s.asked.Addresses[i].Key(); !slices.Contains(without, k) {
			rep.Present = append(rep.Present, k)
		}
	}
	s.step(failover.AddressesReported{Report: rep})
}

// key returns the key of a configured address.
func (s *script) key(p *configParser, w *words) failover.AddressKey {
	prefix := p.prefix(w)
	for i := range s.cfg.Routers {
		for _, a := range s.cfg.Routers[i].Addresses {
			if a.Prefix == prefix {
				return a.Key()
			}
		}
	}
	return failover.AddressKey{Interface: "eth0", Prefix: prefix}
}

func (s *script) speaker(p *configParser, w *words) {
	name := w.next()
	r := s.reports[name]
	if r == nil {
		r = &bgp.Report{Speaker: name, Neighbors: []bgp.NeighborStatus{{Address: netip.MustParseAddr("203.0.113.1"), State: bgp.Idle}}}
		s.reports[name] = r
	}
	r.Neighbors = slices.Clone(r.Neighbors)
	n := &r.Neighbors[0]
	switch verb := w.next(); verb {
	case "up":
		r.Connected, r.Err = true, ""
	case "down":
		*r = bgp.Report{Speaker: name, Err: strings.Join(*w, " "), Neighbors: r.Neighbors, Restarts: r.Restarts + 1}
		n.State, *w = bgp.Idle, nil
	case "established":
		r.Connected, n.State, n.LastError = true, bgp.Established, ""
	case "lost":
		n.State, n.LastError, *w = bgp.Connect, strings.Join(*w, " "), nil
	case "acknowledges":
		r.Generation, r.Announced = s.desired[name].Generation, s.desired[name].Routes
		if len(*w) > 0 && w.next() == "generation" {
			r.Generation = uint64(p.number(w))
		}
	default:
		p.wrong("unknown word %q", verb)
	}
	s.step(failover.SpeakerReported{Report: *r})
}
