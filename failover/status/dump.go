package status

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"failoverd/failover"
	"failoverd/vrrp/wire"
)

// The dumps that keepalived writes on a signal, for the exporters and scripts that read them: the same layout and field
// names, filled from a snapshot. Fields about things that this agent does not have keep keepalived's "off" value.
//
// A configuration and a snapshot belong together if their hashes are equal; a router that only one of them has is left
// out.

// pair is a router as it is configured and as it is.
type pair struct {
	cfg *failover.RouterConfig
	now *failover.RouterStatus
}

// pairs returns the routers in the order of the configuration.
func pairs(cfg *failover.Config, s *failover.Snapshot) []pair {
	byName := make(map[string]*failover.RouterStatus, len(s.Routers))
	for i := range s.Routers {
		byName[s.Routers[i].Name] = &s.Routers[i]
	}
	var out []pair
	for i := range cfg.Routers {
		if now := byName[cfg.Routers[i].Name]; now != nil {
			out = append(out, pair{&cfg.Routers[i], now})
		}
	}
	return out
}

// vrrpJSON is one element of keepalived's JSON dump.
type vrrpJSON struct {
	Data  vrrpData  `json:"data"`
	Stats vrrpStats `json:"stats"`
}

// vrrpData has keepalived's names, and its habit of writing some switches as numbers.
type vrrpData struct {
	Name                 string      `json:"iname"`
	DontTrackPrimary     int         `json:"dont_track_primary"`
	SkipCheckAdvAddr     int         `json:"skip_check_adv_addr"`
	StrictMode           int         `json:"strict_mode"`
	VMAC                 string      `json:"vmac_ifname"`
	Interface            string      `json:"ifp_ifname"`
	MasterPriority       uint8       `json:"master_priority"`
	LastTransition       json.Number `json:"last_transition"`
	GARPDelay            int         `json:"garp_delay"`
	GARPRefresh          int         `json:"garp_refresh"`
	GARPRepeat           int         `json:"garp_rep"`
	GARPRefreshRepeat    int         `json:"garp_refresh_rep"`
	GARPLowerPrioDelay   int         `json:"garp_lower_prio_delay"`
	GARPLowerPrioRepeat  int         `json:"garp_lower_prio_rep"`
	LowerPrioNoAdvert    int         `json:"lower_prio_no_advert"`
	HigherPrioSendAdvert int         `json:"higher_prio_send_advert"`
	VRID                 uint8       `json:"vrid"`
	BasePriority         uint8       `json:"base_priority"`
	EffectivePriority    uint8       `json:"effective_priority"`
	VIPSet               bool        `json:"vipset"`
	PromoteSecondaries   bool        `json:"promote_secondaries"`
	AdvertInterval       json.Number `json:"adver_int"`
	MasterAdvertInterval json.Number `json:"master_adver_int"`
	Accept               int         `json:"accept"`
	NoPreempt            bool        `json:"nopreempt"`
	PreemptDelay         json.Number `json:"preempt_delay"`
	State                int         `json:"state"`
	WantedState          int         `json:"wantstate"`
	Version              uint8       `json:"version"`
	ScriptBackup         string      `json:"script_backup,omitempty"`
	ScriptMaster         string      `json:"script_master,omitempty"`
	ScriptFault          string      `json:"script_fault,omitempty"`
	ScriptStop           string      `json:"script_stop,omitempty"`
	ScriptDeleted        string      `json:"script_deleted,omitempty"`
	Script               string      `json:"script,omitempty"`
	ScriptRivalHeard     string      `json:"script_master_rx_lower_pri,omitempty"`
	SMTPAlert            bool        `json:"smtp_alert"`
	NotifyDeleted        bool        `json:"notify_deleted"`
	VIPs                 []string    `json:"vips,omitempty"`
	ExcludedVIPs         []string    `json:"evips,omitempty"`
	VRoutes              []string    `json:"vroutes,omitempty"`
	VRules               []string    `json:"vrules,omitempty"`
	TrackInterfaces      []string    `json:"track_ifp,omitempty"`
	TrackScripts         []string    `json:"track_script,omitempty"`
	TrackProcesses       []string    `json:"track_process,omitempty"`
	AuthType             int         `json:"auth_type"`
	AuthData             string      `json:"auth_data,omitempty"`
}

type vrrpStats struct {
	AdvertsReceived   uint64 `json:"advert_rcvd"`
	AdvertsSent       uint64 `json:"advert_sent"`
	BecomeMaster      uint64 `json:"become_master"`
	ReleaseMaster     uint64 `json:"release_master"`
	LengthErrors      uint64 `json:"packet_len_err"`
	IntervalErrors    uint64 `json:"advert_interval_err"`
	TTLErrors         uint64 `json:"ip_ttl_err"`
	InvalidTypes      uint64 `json:"invalid_type_rcvd"`
	AddressListErrors uint64 `json:"addr_list_err"`
	InvalidAuthTypes  uint64 `json:"invalid_authtype"`
	AuthMismatches    uint64 `json:"authtype_mismatch"`
	AuthFailures      uint64 `json:"auth_failure"`
	ZeroReceived      uint64 `json:"pri_zero_rcvd"`
	ZeroSent          uint64 `json:"pri_zero_sent"`
	HMACMissing       uint64 `json:"auth_ext_missing,omitempty"`
	HMACMalformed     uint64 `json:"auth_ext_malformed,omitempty"`
	HMACUnknownKey    uint64 `json:"auth_ext_unknown_key,omitempty"`
	HMACInvalid       uint64 `json:"auth_ext_invalid_hmac,omitempty"`
	HMACStale         uint64 `json:"auth_ext_stale,omitempty"`
	HMACReplay        uint64 `json:"auth_ext_replay,omitempty"`
}

// DumpJSON writes what keepalived writes on SIGRTMIN+2: an array of the routers in version 1, an object in version 2.
func DumpJSON(w io.Writer, cfg *failover.Config, s *failover.Snapshot) error {
	routers := []vrrpJSON{}
	for _, p := range pairs(cfg, s) {
		routers = append(routers, vrrpJSON{p.data(cfg), p.stats(s)})
	}
	var out any = routers
	if cfg.Dump.JSONVersion == 2 {
		out = struct {
			VRRP      []vrrpJSON    `json:"vrrp"`
			Processes []processJSON `json:"track_process"`
		}{routers, processes(cfg, s)}
	}
	e := json.NewEncoder(w)
	return e.Encode(out)
}

// processJSON is a vrrp_track_process in version 2.
type processJSON struct {
	Name    string `json:"name"`
	Process string `json:"process"`
	Quorum  int    `json:"quorum"`
	Max     int    `json:"quorum_max,omitempty"`
	Up      bool   `json:"have_quorum"`
}

func processes(cfg *failover.Config, s *failover.Snapshot) []processJSON {
	up := map[string]bool{}
	for i := range s.Routers {
		for _, t := range s.Routers[i].Tracks {
			if t.Kind == failover.TrackProcess.String() {
				up[t.Name] = t.OK
			}
		}
	}
	out := []processJSON{}
	for i := range cfg.Processes {
		p := &cfg.Processes[i]
		out = append(out, processJSON{p.Name, strings.Join(p.Args, " "), p.Quorum, p.QuorumMax, up[p.Name]})
	}
	return out
}

func (p pair) data(cfg *failover.Config) vrrpData {
	v, g := &p.cfg.VRRP, &p.cfg.GARP
	d := vrrpData{
		Name: p.cfg.Name, DontTrackPrimary: number(p.cfg.IgnoreLink), SkipCheckAdvAddr: 1, Interface: v.Key.Interface,
		LastTransition: seconds(time.Duration(p.now.Since.UnixNano())),
		GARPDelay:      whole(g.Delay), GARPRefresh: whole(g.Refresh), GARPRepeat: g.Repeat, GARPRefreshRepeat: g.RefreshRepeat,
		GARPLowerPrioDelay: whole(g.RivalDelay), GARPLowerPrioRepeat: g.RivalRepeat,
		LowerPrioNoAdvert: number(v.SilentOnLowerPriority), HigherPrioSendAdvert: number(v.LastWord),
		VRID: v.Key.VRID, BasePriority: v.Priority, EffectivePriority: p.now.PriorityEffective,
		VIPSet: p.allPresent(), PromoteSecondaries: p.cfg.PromoteSecondaries,
		AdvertInterval: seconds(v.Interval.Duration()), MasterAdvertInterval: fromMillis(p.now.LearnedIntervalMS),
		Accept: number(!p.cfg.NoAccept), NoPreempt: !v.Preempt, PreemptDelay: seconds(v.PreemptDelay),
		State: stateNumber(p.now.State), WantedState: stateNumber(p.now.State), Version: uint8(v.Version),
		NotifyDeleted: p.cfg.Notify.DeletedWord, AuthType: int(v.AuthType),
		VIPs: p.addresses(false), ExcludedVIPs: p.addresses(true),
		VRoutes: p.objects("route"), VRules: p.objects("rule"),
		TrackInterfaces: p.tracks(failover.TrackInterface), TrackScripts: p.commands(cfg),
		TrackProcesses: p.tracks(failover.TrackProcess),
	}
	if p.cfg.VMAC != nil {
		d.VMAC = p.cfg.VMAC.Name
	}
	if m := p.now.Master; m != nil && !m.Self {
		d.MasterPriority = m.Priority
	}
	if v.AuthType != wire.AuthNone {
		d.AuthData = hidden
	}
	n := &p.cfg.Notify
	d.ScriptBackup, d.ScriptMaster, d.ScriptFault = quoted(n.Backup), quoted(n.Master), quoted(n.Fault)
	d.ScriptStop, d.ScriptDeleted, d.Script, d.ScriptRivalHeard = quoted(n.Stop), quoted(n.Deleted), quoted(n.Any), quoted(n.RivalHeard)
	return d
}

// hidden stands for a password.
const hidden = "(hidden)"

// stats counts a packet that never got as far as a router on the router's link, where keepalived does.
func (p pair) stats(s *failover.Snapshot) vrrpStats {
	c, drops := &p.now.Counters, map[string]uint64{}
	for i := range s.Links {
		if s.Links[i].Link == p.now.Interface+"/"+familyDigit(p.cfg) {
			drops = s.Links[i].Drops
		}
	}
	of := func(reasons ...wire.DropReason) (n uint64) {
		for _, r := range reasons {
			n += c.Drops[r.String()] + drops[r.String()]
		}
		return n
	}
	return vrrpStats{
		AdvertsReceived: c.AdvertsReceived, AdvertsSent: c.AdvertsSent, BecomeMaster: c.BecameMaster, ReleaseMaster: c.ReleasedMaster,
		LengthErrors:   of(wire.DropShortHeader, wire.DropTruncatedAddresses, wire.DropTruncatedAuth, wire.DropTrailing),
		IntervalErrors: of(wire.DropInterval, wire.DropIntervalZero), TTLErrors: of(wire.DropTTL), InvalidTypes: of(wire.DropType),
		AddressListErrors: c.ListMismatches + of(wire.DropAddressList), AuthMismatches: of(wire.DropAuthType), AuthFailures: of(wire.DropAuthData),
		HMACMissing: of(wire.DropHMACMissing), HMACMalformed: of(wire.DropHMACMalformed), HMACUnknownKey: of(wire.DropHMACUnknownKey),
		HMACInvalid: of(wire.DropHMACBad), HMACStale: of(wire.DropHMACStale), HMACReplay: of(wire.DropHMACReplay),
		ZeroReceived: c.PriorityZeroRecv, ZeroSent: c.PriorityZeroSent,
	}
}

func familyDigit(cfg *failover.RouterConfig) string {
	return string('0' + rune(cfg.VRRP.Key.Family))
}

// DumpStats writes what keepalived writes on SIGUSR2.
func DumpStats(w io.Writer, cfg *failover.Config, s *failover.Snapshot) error {
	var b strings.Builder
	for _, p := range pairs(cfg, s) {
		n := p.stats(s)
		fmt.Fprintf(&b, "VRRP Instance: %s\n  Advertisements:\n    Received: %d\n    Sent: %d\n", p.cfg.Name, n.AdvertsReceived, n.AdvertsSent)
		fmt.Fprintf(&b, "  Became master: %d\n  Released master: %d\n", n.BecomeMaster, n.ReleaseMaster)
		fmt.Fprintf(&b, "  Packet Errors:\n    Length: %d\n    TTL: %d\n    Invalid Type: %d\n    Advertisement Interval: %d\n    Address List: %d\n",
			n.LengthErrors, n.TTLErrors, n.InvalidTypes, n.IntervalErrors, n.AddressListErrors)
		fmt.Fprintf(&b, "  Authentication Errors:\n    Invalid Type: %d\n    Type Mismatch: %d\n    Failure: %d\n",
			n.InvalidAuthTypes, n.AuthMismatches, n.AuthFailures)
		fmt.Fprintf(&b, "  Priority Zero:\n    Received: %d\n    Sent: %d\n", n.ZeroReceived, n.ZeroSent)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
