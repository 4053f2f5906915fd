package failovertest

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"failoverd/bgp"
	"failoverd/failover"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// ParseConfig reads a configuration from lines of words. Lines about a router follow its line:
//
//	startup_delay 1s
//	garp_interval 100ms
//	na_interval 100ms
//	bgp_lease 3s
//	speaker NAME [allow PREFIX]... [max N] [changes N] [rpki HOST:PORT]... [rpki_warn] [neighbor ADDRESS]...
//	router NAME INTERFACE/FAMILY/VRID [priority N] [interval D] [version 2] [nopreempt] [preempt_delay D]
//	      [last_word] [unicast] [bgp_wait D] [withdraw_grace D] [source ADDRESS] [ttl N]
//	service NAME INTERFACE [drain_time D] [withdraw_grace D] [keep_last CHECK] [settle D]   an anycast_service
//	  peer ADDRESS            watcher ADDRESS
//	  address PREFIX INTERFACE [lease D] [excluded]
//	  garp [repeat N] [delay D] [refresh D] [refresh_repeat N] [rival_repeat N] [rival_delay D]
//	  announce PREFIX SPEAKER [when ROLE] [med N] [prepend N]
//
// and the lines of objectLine and trackingLine.
//
// What is left out is as in package failover's documentation; priority is 100, interval 1s, withdraw_grace its
// default, and one announcement per address. Everything after a # is a comment. The hash is that of the text.
func ParseConfig(text string) (*failover.Config, error) {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text))
	p := configParser{cfg: &failover.Config{Hash: fmt.Sprintf("%016x", h.Sum64()), BGPLease: 3 * time.Second}}
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		w := words(strings.Fields(line))
		if len(w) == 0 {
			continue
		}
		if err := p.line(w); err != nil {
			return nil, fmt.Errorf("line %d: %q: %w", i+1, strings.TrimSpace(line), err)
		}
	}
	return p.cfg, nil
}

// MustParseConfig is ParseConfig for texts that are part of a test; it panics on an error.
func MustParseConfig(text string) *failover.Config {
	cfg, err := ParseConfig(text)
	if err != nil {
		panic(err)
	}
	return cfg
}

// words is a line that is taken apart from the left.
type words []string

// next takes the next word; empty: there is none.
func (w *words) next() string {
	if len(*w) == 0 {
		return ""
	}
	s := (*w)[0]
	*w = (*w)[1:]
	return s
}

type configParser struct {
	cfg    *failover.Config
	errors []error
}

func (p *configParser) line(w words) error {
	p.errors = nil
	cfg := p.cfg
	word := w.next()
	switch word {
	case "startup_delay":
		cfg.StartupDelay = p.duration(&w)
	case "garp_interval":
		cfg.GARPInterval = p.duration(&w)
	case "na_interval":
		cfg.NAInterval = p.duration(&w)
	case "bgp_lease":
		cfg.BGPLease = p.duration(&w)
	case "speaker":
		p.speaker(&w)
	case "router":
		p.router(&w)
	case "service":
		p.service(&w)
	default:
		if p.objectLine(word, &w) || p.trackingLine(word, &w) {
			break
		}
		if len(cfg.Routers) == 0 {
			return fmt.Errorf("unknown word %q", word)
		}
		p.routerLine(word, &w, &cfg.Routers[len(cfg.Routers)-1])
	}
	if len(p.errors) == 0 && len(w) > 0 {
		return fmt.Errorf("unexpected %q", w[0])
	}
	return first(p.errors)
}

func first(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	return errs[0]
}

func (p *configParser) speaker(w *words) {
	s := bgp.SpeakerConfig{Name: w.next(), LocalAS: 64501, RouterID: netip.MustParseAddr("203.0.113.2")}
	for len(*w) > 0 {
		switch o := w.next(); o {
		case "allow":
			s.Allow = append(s.Allow, p.prefix(w))
		case "max":
			s.MaxAnnouncements = p.number(w)
		case "changes":
			s.MaxChanges = p.number(w)
		case "calm":
			s.Calm = true
		case "rpki":
			s.RPKICaches = append(s.RPKICaches, w.next())
		case "rpki_warn":
			s.RPKIWarn = true
		case "neighbor":
			s.Neighbors = append(s.Neighbors, bgp.Neighbor{Address: p.address(w), RemoteAS: 64500})
		default:
			p.wrong("unknown word %q", o)
		}
	}
	p.cfg.Speakers = append(p.cfg.Speakers, s)
}

func (p *configParser) router(w *words) {
	r := failover.RouterConfig{
		Name: w.next(), WithdrawGrace: failover.DefaultWithdrawGrace, GARP: failover.GARP{Repeat: 1, RefreshRepeat: 1, RivalRepeat: 1},
	}
	v := &r.VRRP
	v.Version, v.Priority, v.Interval, v.Preempt = wire.V3, wire.PriorityDefault, 100, true
	if err := v.Key.UnmarshalText([]byte(w.next())); err != nil {
		p.errors = append(p.errors, err)
	}
	for len(*w) > 0 {
		switch o := w.next(); o {
		case "priority":
			v.Priority = uint8(p.number(w))
		case "interval":
			v.Interval = wire.Centiseconds(p.duration(w) / (10 * time.Millisecond))
		case "version":
			v.Version = wire.Version(p.number(w))
		case "nopreempt":
			v.Preempt = false
		case "preempt_delay":
			v.PreemptDelay = p.duration(w)
		case "last_word":
			v.LastWord = true
		case "unicast":
			v.Unicast = true
		case "bgp_wait":
			r.BGPWait = p.duration(w)
		case "withdraw_grace":
			r.WithdrawGrace = p.duration(w)
		case "source":
			r.Source = p.address(w)
		case "ttl":
			r.TTL = uint8(p.number(w))
		default:
			p.wrong("unknown word %q", o)
		}
	}
	p.cfg.Routers = append(p.cfg.Routers, r)
}

func (p *configParser) service(w *words) {
	r := failover.RouterConfig{
		Name: w.next(), Anycast: &failover.AnycastConfig{}, WithdrawGrace: failover.DefaultWithdrawGrace, GARP: failover.GARP{Repeat: 1},
	}
	r.VRRP = failover.NewAnycastVRRP(w.next())
	for len(*w) > 0 {
		switch o := w.next(); o {
		case "drain_time":
			r.Anycast.DrainTime = p.duration(w)
		case "withdraw_grace":
			r.WithdrawGrace = p.duration(w)
		case "keep_last":
			r.Anycast.KeepLast = w.next()
		case "settle":
			r.Anycast.Settle = p.duration(w)
		default:
			p.wrong("unknown word %q", o)
		}
	}
	p.cfg.Routers = append(p.cfg.Routers, r)
}

func (p *configParser) routerLine(word string, w *words, r *failover.RouterConfig) {
	switch word {
	case "peer":
		r.VRRP.Peers = append(r.VRRP.Peers, vrrp.Peer{Address: p.address(w)})
	case "watcher":
		r.VRRP.Watchers = append(r.VRRP.Watchers, vrrp.Peer{Address: p.address(w)})
	case "address":
		p.virtual(w, r)
	case "garp":
		p.garp(w, &r.GARP)
	case "announce":
		p.announce(w, r)
	default:
		p.wrong("unknown word %q", word)
	}
}

func (p *configParser) virtual(w *words, r *failover.RouterConfig) {
	a := failover.Address{Prefix: p.prefix(w), Interface: w.next()}
	for len(*w) > 0 {
		switch o := w.next(); o {
		case "lease":
			a.Lease = p.duration(w)
		case "excluded":
			a.Excluded = true
		default:
			p.wrong("unknown word %q", o)
		}
	}
	r.Addresses = append(r.Addresses, a)
	if !a.Excluded && r.Anycast == nil {
		r.VRRP.Addresses = append(r.VRRP.Addresses, a.Prefix.Addr())
	}
}

func (p *configParser) garp(w *words, g *failover.GARP) {
	for len(*w) > 0 {
		switch o := w.next(); o {
		case "repeat":
			g.Repeat = p.number(w)
		case "delay":
			g.Delay = p.duration(w)
		case "refresh":
			g.Refresh = p.duration(w)
		case "refresh_repeat":
			g.RefreshRepeat = p.number(w)
		case "rival_repeat":
			g.RivalRepeat = p.number(w)
		case "rival_delay":
			g.RivalDelay = p.duration(w)
		default:
			p.wrong("unknown word %q", o)
		}
	}
}

func (p *configParser) announce(w *words, r *failover.RouterConfig) {
	a := failover.Announcement{Route: bgp.Route{Prefix: p.prefix(w)}, Speaker: w.next()}
	for len(*w) > 0 {
		switch o := w.next(); o {
		case "when":
			a.When = p.role(w)
		case "med":
			med := uint32(p.number(w))
			a.Route.MED = &med
		case "prepend":
			a.Route.Prepend = uint8(p.number(w))
		default:
			p.wrong("unknown word %q", o)
		}
	}
	r.Announce = append(r.Announce, a)
}

func (p *configParser) role(w *words) failover.Role {
	roles := []failover.Role{failover.RoleActive, failover.RoleBackup, failover.RoleDraining}
	word := w.next()
	i := slices.IndexFunc(roles, func(r failover.Role) bool { return r.String() == word })
	if i < 0 {
		p.wrong("role %q", word)
		return 0
	}
	return roles[i]
}

func (p *configParser) wrong(format string, args ...any) {
	p.errors = append(p.errors, fmt.Errorf(format, args...))
}

func (p *configParser) duration(w *words) time.Duration {
	d, err := time.ParseDuration(w.next())
	return parsed(p, d, err)
}

func (p *configParser) number(w *words) int {
	n, err := strconv.Atoi(w.next())
	return parsed(p, n, err)
}

func (p *configParser) prefix(w *words) netip.Prefix {
	x, err := netip.ParsePrefix(w.next())
	return parsed(p, x, err)
}

func (p *configParser) address(w *words) netip.Addr {
	a, err := netip.ParseAddr(w.next())
	return parsed(p, a, err)
}

func parsed[T any](p *configParser, v T, err error) T {
	if err != nil {
		p.errors = append(p.errors, err)
	}
	return v
}

// FormatAddress returns an address as ParseConfig reads it.
func FormatAddress(a *failover.Address) string {
	s := a.Key().String()
	if a.Lease != failover.NoLease {
		s += " lease " + a.Lease.String()
	}
	return s
}

// compareKeys orders address keys by interface and prefix.
func compareKeys(a, b failover.AddressKey) int {
	return cmp.Or(cmp.Compare(a.Interface, b.Interface), a.Prefix.Compare(b.Prefix))
}
