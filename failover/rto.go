package failover

import (
	"slices"
	"time"

	"failoverd/vrrp/wire"
)

// Times that recovery is reckoned with (design/safety.md 6.4).
const (
	// VoteTime is T_vote: an exchange with a witness, and one more try.
	VoteTime = time.Second
	// ProgramTime is T_prog: addresses into the kernel, and gratuitous ARP.
	ProgramTime = 200 * time.Millisecond
	// UpdateTime is T_adv: the first UPDATE to the upstream, and into its table.
	UpdateTime = 300 * time.Millisecond
	// DetectionTime is what the kernel takes to find out that an IPv6 address is not in use, where it is asked to: a
	// second, after a random delay of up to another one (RFC 4862 section 5.4.2).
	DetectionTime = 2 * time.Second
)

// Failures that RTO reckons, in its order.
const (
	NodeCrash        = "node crash"
	NodePower        = "node power"
	SitePower        = "site power"
	UplinkLoss       = "uplink loss"
	InterRegionLoss  = "inter-region link loss"
	OrderlyStop      = "orderly stop"
	Failback         = "failback"
	noOtherSite      = "no other site is configured here: nobody takes over"
	afterPromotion   = "netlink and gratuitous ARP, once it has the role"
	afterAddresses   = "the route follows the addresses: first UPDATE to the upstream"
	otherSiteDecides = "; takeover_after is that of the other site and is reckoned as its default from fence_after here and hold_time of the speakers here: run rto with its file"
)

// RTO returns the worst-case time from each failure until the service is there again, by router: what is programmed and
// announced by somebody else, and what a dead node has left behind is gone. It is reckoned from the configuration alone,
// term by term (design/safety.md 6.4). For a router that serves, the failure is that of its own node or site; for a
// watcher, it is that of the site that it watches; for an anycast service, whose prefix others announce as well, it is how long
// traffic is still led to it. What the Internet takes to follow the upstream is no part of it.
func RTO(cfg *Config) []RecoveryStatus {
	var out []RecoveryStatus
	for i := range cfg.Routers {
		p := newProspect(cfg, &cfg.Routers[i])
		if p.r.Anycast != nil {
			for _, b := range p.serviceBudgets() {
				b.Router, b.Kind = p.r.Name, p.r.Kind()
				out = append(out, b.status())
			}
			continue
		}
		for _, reckon := range []func(*prospect) *budget{
			(*prospect).nodeCrash, (*prospect).nodePower, (*prospect).sitePower, (*prospect).uplinkLoss,
			(*prospect).interRegionLoss, (*prospect).orderlyStop, (*prospect).failback,
		} {
			b := reckon(p)
			b.Router = p.r.Name
			out = append(out, b.status())
		}
	}
	return out
}

// budget adds up the terms of one failure.
type budget struct {
	RecoveryStatus
	sum     time.Duration
	noBound bool
}

func newBudget(failure string) *budget {
	return &budget{RecoveryStatus: RecoveryStatus{Failure: failure, Terms: []RecoveryTerm{}}}
}

// add adds a term, unless it is nothing.
func (b *budget) add(name string, d time.Duration, why string) *budget {
	if d > 0 {
		b.sum += d
		b.Terms = append(b.Terms, RecoveryTerm{Name: name, MS: millis(d), Why: why})
	}
	return b
}

// until adds what is left of something that ends that long after the failure, whatever else goes on.
func (b *budget) until(name string, end time.Duration, why string) *budget {
	return b.add(name, end-b.sum, why)
}

// note says more about the result.
func (b *budget) note(s string) *budget {
	if b.Note != "" {
		b.Note += "; "
	}
	b.Note += s
	return b
}

// unbounded: there is no bound, and why.
func (b *budget) unbounded(why string) *budget {
	b.noBound = true
	return b.note(why)
}

func (b *budget) status() RecoveryStatus {
	if !b.noBound {
		total := millis(b.sum)
		b.TotalMS = &total
	}
	return b.RecoveryStatus
}

// prospect is what one router can count on.
type prospect struct {
	cfg   *Config
	r     *RouterConfig
	site  *SiteConfig  // that it lives by, or nil
	watch *WatchConfig // that it takes over for, or nil
	// near: partners of its own site can hear it. far: those of another one can.
	near, far bool
	announces bool
	hold      time.Duration // the longest one of the sessions that it announces through
	assumed   bool          // an operator's gobgpd has a say in hold, and its file is not known here
	restart   time.Duration // the longest graceful_restart of them
	lease     time.Duration // the longest one of its addresses
	forever   bool          // an address has no lease
	outlived  bool          // a gobgpd that it announces through goes on without the agent
}

func newProspect(cfg *Config, r *RouterConfig) *prospect {
	p := &prospect{cfg: cfg, r: r, announces: r.Announces(RoleActive), far: len(r.Region.Remote) > 0 || len(r.VRRP.Watchers) > 0}
	for i := range cfg.Sites {
		if cfg.Sites[i].Name == r.Region.Site {
			p.site = &cfg.Sites[i]
		}
	}
	for i := range cfg.Watches {
		if cfg.Watches[i].Name == r.Region.Watch {
			p.watch = &cfg.Watches[i]
		}
	}
	p.near = !r.VRRP.Unicast && r.VRRP.Key.Interface != loopback
	for _, peer := range r.VRRP.Peers {
		if !slices.Contains(r.Region.Remote, peer.Address) {
			p.near = true
		}
	}
	for i := range r.Announce {
		s := cfg.Speaker(r.Announce[i].Speaker)
		if s == nil || r.Announce[i].When != RoleActive {
			continue
		}
		p.hold, p.outlived = max(p.hold, s.LongestHold()), p.outlived || s.External != nil
		p.assumed = p.assumed || s.OperatorOwned()
		for j := range s.Neighbors {
			p.restart = max(p.restart, s.Neighbors[j].GracefulRestart)
		}
	}
	for i := range r.Addresses {
		p.lease = max(p.lease, r.Addresses[i].Lease)
		p.forever = p.forever || r.Addresses[i].Lease == NoLease
	}
	return p
}

// longestSkew is the Skew_Time of the lowest priority: that of a successor is not known here.
func longestSkew(r *RouterConfig) time.Duration {
	if r.VRRP.Version == wire.V2 {
		return time.Second
	}
	return r.VRRP.Interval.Duration()
}

// skew is the longest Skew_Time of a successor. The members of a sync group wait for the slowest of them.
func (p *prospect) skew() time.Duration { return p.slowest(longestSkew) }

// silence is the longest Active_Down_Interval of a successor, which counts from the last advertisement.
func (p *prospect) silence() time.Duration {
	return p.slowest(func(r *RouterConfig) time.Duration {
		return time.Duration(downAdverts(r))*r.VRRP.Interval.Duration() + longestSkew(r)
	})
}

func downAdverts(r *RouterConfig) uint8 {
	if n := r.VRRP.DownTimerAdverts; n != 0 {
		return n
	}
	return 3 // RFC 9568 section 6.1
}

func (p *prospect) slowest(of func(*RouterConfig) time.Duration) time.Duration {
	d := of(p.r)
	for i := range p.cfg.Groups {
		if members := p.cfg.Groups[i].Members; slices.Contains(members, p.r.Name) {
			for j := range p.cfg.Routers {
				if r := &p.cfg.Routers[j]; slices.Contains(members, r.Name) {
					d = max(d, of(r))
				}
			}
		}
	}
	return d
}

// serve adds what it takes from the promotion to the service.
func (p *prospect) serve(b *budget) *budget {
	if len(p.r.Addresses) > 0 || len(p.r.Routes)+len(p.r.Rules) > 0 {
		b.add("address", ProgramTime, afterPromotion)
	}
	if slices.ContainsFunc(p.r.Addresses, func(a Address) bool { return a.DAD }) {
		b.add("duplicate address detection", DetectionTime, "-nodad asks the kernel to look whether an IPv6 address is in use")
	}
	if p.announces {
		b.add("UPDATE", UpdateTime, afterAddresses)
	}
	return b
}
