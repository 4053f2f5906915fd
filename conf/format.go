package conf

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"failoverd/bgp"
	"failoverd/failover"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// Format returns the canonical text of a configuration that Parse returned: Parse makes an equal configuration of it,
// but for Hash and the places of Uses, which belong to the text. It has no variables, no includes and no conditions.
//
// Passwords that came from files are part of it.
func Format(cfg *failover.Config) string {
	p := &printer{}
	p.when(cfg.Process.NetNamespace != "", "net_namespace", quote(cfg.Process.NetNamespace))
	p.globals(cfg)
	p.trackers(cfg)
	p.statics(cfg)
	for i := range cfg.Speakers {
		p.speaker(&cfg.Speakers[i])
	}
	p.regions(cfg)
	for i := range cfg.Routers {
		if r := &cfg.Routers[i]; r.Anycast != nil {
			p.service(r)
		} else {
			p.router(cfg, r)
		}
	}
	for i := range cfg.Groups {
		p.group(cfg, &cfg.Groups[i])
	}
	return p.b.String()
}

// printer writes statements.
type printer struct {
	b      strings.Builder
	indent int
}

// line writes one statement of words.
func (p *printer) line(words ...any) {
	p.b.WriteString(strings.Repeat("    ", p.indent))
	for i, w := range words {
		if i > 0 {
			p.b.WriteByte(' ')
		}
		fmt.Fprint(&p.b, w)
	}
	p.b.WriteByte('\n')
}

// block writes a statement with a block.
func (p *printer) block(head string, body func()) {
	p.line(head, "{")
	p.indent++
	body()
	p.indent--
	p.line("}")
}

// when writes a statement if it applies.
func (p *printer) when(applies bool, words ...any) {
	if applies {
		p.line(words...)
	}
}

// quote returns a word that the lexer reads as s. It belongs at the end of a line, because a backslash at its own end
// protects the closing quote only while there is no other behind it.
func quote(s string) string {
	s = strings.ReplaceAll(s, "$", "${_DOLLAR}")
	return `"` + strings.ReplaceAll(s, `"`, `\"`) + `"`
}

// name returns s bare when that reads as well.
func name(s string) string {
	_, include := includes[s]
	if strings.ContainsAny(s, " \t\r\f\v\"'{}#!$@~\\") || contextOf(s) != "" || virtualWords.has(s) || include {
		return quote(s)
	}
	return s
}

func (p *printer) globals(cfg *failover.Config) {
	p.block("global_defs", func() {
		p.when(cfg.RouterID != "", "router_id", quote(cfg.RouterID))
		p.when(cfg.StatusSocket != "", "status_socket", quote(cfg.StatusSocket))
		p.when(cfg.Metrics.IsValid(), "metrics_listen", cfg.Metrics)
		p.when(cfg.EventLog != "", "event_log", quote(cfg.EventLog))
		p.when(cfg.Record.File != "", "record", quote(cfg.Record.File))
		p.when(cfg.Record.File != "", "record_size", cfg.Record.LimitMB)
		if lease, ok := commonLease(cfg); ok {
			p.line("vip_lease", formatSeconds(lease))
		}
		p.line("bgp_lease", formatSeconds(cfg.BGPLease))
		p.when(cfg.ResignOnCrash, "on_crash", onCrashResign)
		p.when(cfg.StartupDelay != 0, "vrrp_startup_delay", formatSeconds(cfg.StartupDelay))
		p.when(cfg.GARPInterval != 0, "vrrp_garp_interval", formatSeconds(cfg.GARPInterval))
		p.when(cfg.NAInterval != 0, "vrrp_gna_interval", formatSeconds(cfg.NAInterval))
		p.when(cfg.BootDelay != 0, "vrrp_delay_after_boot", formatSeconds(cfg.BootDelay))
		p.when(cfg.Multicast.IPv4.IsValid(), "vrrp_mcast_group4", cfg.Multicast.IPv4)
		p.when(cfg.Multicast.IPv6.IsValid(), "vrrp_mcast_group6", cfg.Multicast.IPv6)
		p.when(cfg.NoAcceptCounters, "nftables_counters")
		p.when(cfg.LogUnknownVRIDs, "log_unknown_vrids")
		p.scripts(cfg)
		p.process(cfg)
	})
}

// commonLease returns the lease of all addresses, unless it is the default of each.
func commonLease(cfg *failover.Config) (lease time.Duration, ok bool) {
	long := longLeases(cfg)
	for i := range cfg.Routers {
		r := &cfg.Routers[i]
		for j := range r.Addresses {
			a := &r.Addresses[j]
			usual := usualLease(r, a)
			for k := range long {
				if long[k].Covers(r, a) {
					usual = max(usual, long[k].Lease)
				}
			}
			lease = a.Lease
			ok = ok || a.Lease != usual
		}
	}
	return lease, ok
}

func (p *printer) speaker(s *bgp.SpeakerConfig) {
	p.block("bgp_speaker "+name(s.Name), func() {
		p.line("local_as", s.LocalAS)
		p.when(s.RouterID.IsValid(), "router_id", s.RouterID)
		p.external(s.External)
		p.when(!s.OperatorOwned(), "listen_port", s.ListenPort)
		p.block("allow_prefix", func() {
			for _, a := range s.Allow {
				p.line(a)
			}
		})
		p.when(s.MaxAnnouncements != 0, "max_announcements", s.MaxAnnouncements)
		p.when(s.MaxChanges != 0, "max_changes", s.MaxChanges)
		p.when(s.Calm, "avoid_flap_damping")
		for _, c := range s.RPKICaches {
			p.line("rpki_cache", name(c))
		}
		p.when(s.RPKIWarn, "rpki_invalid", "warn")
		for i := range s.Neighbors {
			p.neighbor(&s.Neighbors[i])
		}
	})
}

func (p *printer) neighbor(n *bgp.Neighbor) {
	p.block("neighbor "+n.Address.String(), func() {
		p.line("remote_as", n.RemoteAS)
		p.when(n.LocalAddress.IsValid(), "local_address", n.LocalAddress)
		p.when(n.Description != "", "description", quote(n.Description))
		p.when(n.Password != "", "password", quote(n.Password))
		p.line("port", n.Port)
		p.line("hold_time", formatSeconds(n.HoldTime))
		p.line("keepalive", formatSeconds(n.Keepalive))
		p.line("connect_retry", formatSeconds(n.ConnectRetry))
		p.when(n.Multihop != 0, "multihop", n.Multihop)
		p.when(n.TTLSecurity != 0, "ttl_security", n.TTLSecurity)
		p.when(n.GracefulRestart != 0, "graceful_restart", formatSeconds(n.GracefulRestart))
		p.when(n.GracefulRestart != 0, "i_understand_stale_routes")
	})
}

func (p *printer) router(cfg *failover.Config, r *failover.RouterConfig) {
	v := &r.VRRP
	p.block("vrrp_instance "+name(r.Name), func() {
		p.when(r.WantedState != "", "state", r.WantedState)
		p.line("interface", name(v.Key.Interface))
		p.line("virtual_router_id", v.Key.VRID)
		p.line("version", v.Version)
		p.line("priority", v.Priority)
		p.line("advert_int", formatSeconds(v.Interval.Duration()))
		p.when(!v.Preempt, "nopreempt")
		p.when(v.PreemptDelay != 0, "preempt_delay", formatSeconds(v.PreemptDelay))
		p.line("down_timer_adverts", v.DownTimerAdverts)
		p.when(v.SilentOnLowerPriority, "lower_prio_no_advert")
		p.when(v.OwnerIgnoresAdverts, "owner_ignore_adverts")
		p.when(v.LastWord, "higher_prio_send_advert")
		p.when(v.Checksum == wire.ChecksumMessage, "v3_checksum_as_v2")
		p.authentication(v)
		p.hmac(v.HMAC)
		p.transport(r)
		p.garp(&r.GARP)
		p.vmac(r.VMAC)
		p.addresses("virtual_ipaddress", r, false)
		p.addresses("virtual_ipaddress_excluded", r, true)
		p.routes("virtual_routes", r.Routes)
		p.rules("virtual_rules", r.Rules)
		p.announcements(r)
		p.line("bgp_wait", formatSeconds(r.BGPWait))
		p.withdrawGrace(r)
		p.behaviour(r)
		p.region(cfg, &r.Region)
	})
}

// behaviour is what a router depends on, and whom it tells.
func (p *printer) behaviour(r *failover.RouterConfig) {
	if len(r.VRRP.Addresses) == 0 {
		p.line("no_virtual_ipaddress")
		p.when(r.VRRP.Key.Family == wire.IPv6, "native_ipv6")
	}
	p.when(r.NoAccept, "no_accept")
	p.when(r.PromoteSecondaries, "promote_secondaries")
	p.when(r.IgnoreLink, "dont_track_primary")
	p.tracks(r.Tracks)
	p.notify(&r.Notify)
}

func (p *printer) authentication(v *vrrp.Config) {
	if v.AuthType == wire.AuthSimple {
		p.block("authentication", func() {
			p.line("auth_type", "PASS")
			p.line("auth_pass", quote(strings.TrimRight(string(v.AuthData[:]), "\x00")))
		})
	}
}

func (p *printer) transport(r *failover.RouterConfig) {
	v := &r.VRRP
	if r.Source.IsValid() {
		if v.Unicast {
			p.line("unicast_src_ip", r.Source)
		} else {
			p.line("mcast_src_ip", r.Source)
		}
	}
	p.when(r.TTL != 0, "unicast_ttl", r.TTL)
	p.when(v.AnySource, "check_unicast_src", "off")
	p.peers("unicast_peer", v.Peers)
	p.peers("watcher_peer", v.Watchers)
}

func (p *printer) peers(head string, peers []vrrp.Peer) {
	if len(peers) == 0 {
		return
	}
	p.block(head, func() {
		for _, peer := range peers {
			words := []any{peer.Address}
			if peer.MinTTL != 0 {
				words = append(words, "min_ttl", peer.MinTTL)
			}
			if peer.MaxTTL != 0 {
				words = append(words, "max_ttl", peer.MaxTTL)
			}
			p.line(words...)
		}
	})
}

func (p *printer) garp(s *failover.GARP) {
	p.line("garp_master_repeat", s.Repeat)
	p.line("garp_master_delay", formatSeconds(s.Delay))
	p.line("garp_master_refresh", formatSeconds(s.Refresh))
	p.line("garp_master_refresh_repeat", s.RefreshRepeat)
	p.line("garp_lower_prio_repeat", s.RivalRepeat)
	p.line("garp_lower_prio_delay", formatSeconds(s.RivalDelay))
}

func (p *printer) addresses(head string, r *failover.RouterConfig, excluded bool) {
	if !slices.ContainsFunc(r.Addresses, func(a failover.Address) bool { return a.Excluded == excluded }) {
		return
	}
	device := r.VRRP.Key.Interface
	if r.VMAC != nil {
		device = r.VMAC.Name
	}
	p.block(head, func() {
		for i := range r.Addresses {
			if a := &r.Addresses[i]; a.Excluded == excluded {
				p.address(a, device)
			}
		}
	})
}

func (p *printer) address(a *failover.Address, device string) {
	words := []any{a.Prefix}
	add := func(applies bool, w ...any) {
		if applies {
			words = append(words, w...)
		}
	}
	add(a.Interface != device, "dev", name(a.Interface))
	add(a.Broadcast.IsValid(), "brd", a.Broadcast)
	add(a.Scope != 0, "scope", a.Scope)
	add(a.DAD, "-nodad")
	add(a.NoPrefixRoute, "noprefixroute")
	if a.Prefix.Addr().Is6() && a.Deprecated != (a.Prefix.Bits() == 128) {
		add(a.Deprecated, "preferred_lft", 0)
		add(!a.Deprecated, "preferred_lft", "forever")
	}
	if a.Label != "" {
		words = append(words, "label", quote(a.Label))
	}
	p.line(words...)
}

func (p *printer) announcements(r *failover.RouterConfig) {
	if len(r.Announce) == 0 {
		return
	}
	p.block("bgp_announce", func() {
		for _, a := range r.Announce {
			p.announcement(a.Route.Prefix, &a)
		}
	})
}

func (p *printer) announcement(prefix netip.Prefix, a *failover.Announcement) {
	words := []any{prefix}
	if a.When != failover.RoleActive {
		words = append(words, "when", a.When)
	}
	// A route prints its attributes in the words of the language.
	if attrs := strings.TrimPrefix(a.Route.String(), prefix.String()+" "); attrs != prefix.String() {
		words = append(words, attrs)
	}
	words = append(words, "speaker", quote(a.Speaker))
	p.line(words...)
}
