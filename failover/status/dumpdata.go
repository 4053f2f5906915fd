package status

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"failoverd/failover"
	"failoverd/vrrp/wire"
)

// DumpData writes what keepalived writes on SIGUSR1, as far as it has a meaning here.
func DumpData(w io.Writer, cfg *failover.Config, s *failover.Snapshot) error {
	b := &dump{}
	b.section("Global definitions")
	b.global(cfg, s)
	b.section("VRRP Topology")
	for _, p := range pairs(cfg, s) {
		b.router(cfg, p)
	}
	if len(cfg.Groups) > 0 {
		b.section("VRRP Sync groups")
		b.groups(s)
	}
	if len(cfg.Scripts) > 0 {
		b.section("VRRP Scripts")
		b.scripts(cfg, s)
	}
	if len(cfg.Files) > 0 {
		b.section("Track files")
		b.files(cfg, s)
	}
	if len(cfg.Processes) > 0 {
		b.section("Process tracking")
		b.processes(cfg, s)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// dump collects lines.
type dump struct{ strings.Builder }

func (b *dump) section(name string) { fmt.Fprintf(b, "------< %s >------\n", name) }

func (b *dump) line(depth int, name string, value any) {
	fmt.Fprintf(b, "%s%s = %v\n", strings.Repeat(" ", depth), name, value)
}

func (b *dump) global(cfg *failover.Config, s *failover.Snapshot) {
	namespace := "(default)"
	if n := cfg.Process.NetNamespace; n != "" {
		namespace = n
	}
	b.line(1, "Network namespace", namespace)
	b.line(1, "Router ID", cfg.RouterID)
	b.line(1, "failoverd version", s.Version)
	b.line(1, "Configuration", s.Config.File+" "+s.Config.Hash)
	b.line(1, "Gratuitous ARP interval", float6(cfg.GARPInterval))
	b.line(1, "Gratuitous NA interval", float6(cfg.NAInterval))
	b.line(1, "Startup delay", float6(cfg.StartupDelay))
	b.line(1, "VRRP don't swap", cfg.Process.NoSwap)
	if cfg.Process.HasNice {
		b.line(1, "VRRP process priority", cfg.Process.Nice)
	}
	b.line(1, "VRRP realtime priority", cfg.Process.RealTime)
	fmt.Fprintf(b, " Script security %s\n", word(cfg.ScriptSecurity, "enabled", "disabled"))
	for i := range cfg.FIFOs {
		b.line(1, "VRRP notify fifo", cfg.FIFOs[i].Path)
	}
}

func (b *dump) router(cfg *failover.Config, p pair) {
	v, g := &p.cfg.VRRP, &p.cfg.GARP
	b.line(1, "VRRP Instance", p.cfg.Name)
	b.line(3, "VRRP Version", uint8(v.Version))
	if p.now.Group != "" {
		b.line(3, "Sync group", p.now.Group)
	}
	b.line(3, "State", p.now.State)
	b.line(3, "Wantstate", p.now.State)
	b.line(3, "Last transition", string(seconds(time.Duration(p.now.Since.UnixNano())))+" ("+p.now.Since.Format("Mon Jan _2 15:04:05.000000 2006")+")")
	b.line(3, "Reason", clean(p.now.Why))
	if m := p.now.Master; m != nil && !m.Self {
		b.line(3, "Master router", m.Address)
		b.line(3, "Master priority", m.Priority)
	}
	b.line(3, "Interface", v.Key.Interface)
	if p.cfg.VMAC != nil {
		b.line(3, "Use VMAC, i/f name", p.cfg.VMAC.Name)
	}
	b.line(3, "Using src_ip", p.now.Source)
	b.destinations(cfg, p)
	b.line(3, "Gratuitous ARP delay", whole(g.Delay))
	b.line(3, "Gratuitous ARP repeat", g.Repeat)
	b.line(3, "Gratuitous ARP refresh", whole(g.Refresh))
	b.line(3, "Gratuitous ARP refresh repeat", g.RefreshRepeat)
	b.line(3, "Gratuitous ARP lower priority delay", whole(g.RivalDelay))
	b.line(3, "Gratuitous ARP lower priority repeat", g.RivalRepeat)
	b.line(3, "Down timer adverts", cmp.Or(v.DownTimerAdverts, 3))
	b.line(3, "Send advert after receive lower priority advert", !v.SilentOnLowerPriority)
	b.line(3, "Send advert after receive higher priority advert", v.LastWord)
	b.line(3, "Virtual Router ID", v.Key.VRID)
	b.line(3, "Priority", v.Priority)
	b.line(3, "Effective priority", p.now.PriorityEffective)
	b.line(3, "Total priority", p.now.PriorityEffective)
	b.line(3, "Advert interval", interval(v.Version, v.Interval.Duration()))
	b.line(3, "Accept", word(!p.cfg.NoAccept, "enabled", "disabled"))
	b.line(3, "Preempt", word(v.Preempt, "enabled", "disabled"))
	if v.PreemptDelay > 0 {
		b.line(3, "Preempt delay", string(seconds(v.PreemptDelay))+" secs")
	}
	b.line(3, "Authentication type", word(v.AuthType == wire.AuthNone, "none", "SIMPLE_PASSWORD"))
	if h := v.HMAC; h != nil {
		b.line(3, "HMAC authentication", h.Mode.String()+", active key "+strconv.Itoa(int(h.ActiveKey)))
	}
	b.list(fmt.Sprintf("Virtual IP (%d):", len(p.addresses(false))), p.addresses(false))
	b.list("Virtual IP Excluded :", p.addresses(true))
	b.list("Virtual Routes :", p.objects("route"))
	b.list("Virtual Rules :", p.objects("rule"))
	b.list("Tracked interfaces :", p.weighted(failover.TrackInterface))
	b.list("Tracked scripts :", p.weighted(failover.TrackScript))
	b.list("Tracked files :", p.weighted(failover.TrackFile))
	b.list("Tracked processes :", p.weighted(failover.TrackProcess))
	b.notify(&p.cfg.Notify)
}

func (b *dump) destinations(cfg *failover.Config, p pair) {
	v := &p.cfg.VRRP
	if !v.Unicast {
		group := v.Key.Family.Group()
		if v.Key.Family == wire.IPv4 && cfg.Multicast.IPv4.IsValid() {
			group = cfg.Multicast.IPv4
		}
		if v.Key.Family == wire.IPv6 && cfg.Multicast.IPv6.IsValid() {
			group = cfg.Multicast.IPv6
		}
		fmt.Fprintf(b, "   Multicast address %s\n", group)
		return
	}
	var peers []string
	for _, peer := range v.Peers {
		peers = append(peers, peer.Address.String())
	}
	b.list("Unicast Peer :", peers)
}

func (b *dump) list(name string, items []string) {
	if len(items) == 0 {
		return
	}
	fmt.Fprintf(b, "   %s\n", name)
	for _, i := range items {
		fmt.Fprintf(b, "     %s\n", i)
	}
}

func (b *dump) notify(n *failover.NotifyConfig) {
	for _, c := range []struct {
		name    string
		command *failover.Command
	}{
		{"Backup state transition script", n.Backup},
		{"Master state transition script", n.Master},
		{"Fault state transition script", n.Fault},
		{"Stop state transition script", n.Stop},
		{"Deleted state transition script", n.Deleted},
		{"Generic state transition script", n.Any},
		{"Master rx lower pri script", n.RivalHeard},
	} {
		if c.command != nil {
			b.line(3, c.name, quoted(c.command))
		}
	}
}

func (b *dump) groups(s *failover.Snapshot) {
	for i := range s.Groups {
		g := &s.Groups[i]
		fmt.Fprintf(b, " VRRP Sync Group = %s, %s\n   VRRP member instances :\n", g.Name, g.State)
		for _, m := range g.Members {
			fmt.Fprintf(b, "     %s\n", m)
		}
	}
}

// results returns what is known of all tracked things.
func results(s *failover.Snapshot) map[failover.Tracker]failover.TrackStatus {
	out := map[failover.Tracker]failover.TrackStatus{}
	for i := range s.Routers {
		for _, t := range s.Routers[i].Tracks {
			for _, k := range []failover.TrackerKind{failover.TrackInterface, failover.TrackScript, failover.TrackFile, failover.TrackProcess} {
				if t.Kind == k.String() {
					out[failover.Tracker{Kind: k, Name: t.Name}] = t
				}
			}
		}
	}
	return out
}

func (b *dump) scripts(cfg *failover.Config, s *failover.Snapshot) {
	known := results(s)
	for i := range cfg.Scripts {
		c := &cfg.Scripts[i]
		t := known[failover.Tracker{Kind: failover.TrackScript, Name: c.Name}]
		b.line(1, "VRRP Script", c.Name)
		b.line(3, "Command", command(c))
		b.line(3, "Interval", string(seconds(c.Interval))+" sec")
		b.line(3, "Timeout", string(seconds(c.Timeout))+" sec")
		b.line(3, "Rise", c.Rise)
		b.line(3, "Fall", c.Fall)
		b.line(3, "Insecure", "no")
		status := "INIT"
		if t.Known {
			status = word(t.OK, "GOOD", "BAD")
		}
		b.line(3, "Status", status)
		if t.Reason != "" {
			b.line(3, "Reason", clean(t.Reason))
		}
		b.line(3, "State", "idle") // keepalived tells whether it runs now; nothing is decided by that
	}
}

func (b *dump) files(cfg *failover.Config, s *failover.Snapshot) {
	known := results(s)
	for i := range cfg.Files {
		f := &cfg.Files[i]
		b.line(1, "Track file", f.Name)
		b.line(3, "File", f.Path)
		b.line(3, "Status", known[failover.Tracker{Kind: failover.TrackFile, Name: f.Name}].Value)
	}
}

func (b *dump) processes(cfg *failover.Config, s *failover.Snapshot) {
	known := results(s)
	for i := range cfg.Processes {
		p := &cfg.Processes[i]
		b.line(1, "Process", p.Name)
		b.line(3, "Command", strings.Join(p.Args, " "))
		b.line(3, "Min processes", p.Quorum)
		b.line(3, "Have quorum", known[failover.Tracker{Kind: failover.TrackProcess, Name: p.Name}].OK)
	}
}

// addresses returns the virtual addresses as keepalived prints them, with "set" for one that is in the kernel.
func (p pair) addresses(excluded bool) (out []string) {
	for i := range p.cfg.Addresses {
		a := &p.cfg.Addresses[i]
		if a.Excluded != excluded {
			continue
		}
		name := a.Prefix.String()
		if a.Prefix.IsSingleIP() {
			name = a.Prefix.Addr().String()
		}
		s := fmt.Sprintf("%s dev %s scope %s", name, a.Interface, scope(a.Scope))
		if a.Label != "" {
			s += " label " + a.Label
		}
		if i < len(p.now.Addresses) && p.now.Addresses[i].Present && p.now.Addresses[i].Wanted {
			s += " set"
		}
		out = append(out, s)
	}
	return out
}

// allPresent reports whether the Active router's addresses are in.
func (p pair) allPresent() bool {
	return p.now.State == "MASTER" && !slices.ContainsFunc(p.now.Addresses, func(a failover.AddressStatus) bool { return !a.Present })
}

func (p pair) objects(kind string) (out []string) {
	for _, o := range p.now.Objects {
		if o.Kind == kind {
			out = append(out, o.Object)
		}
	}
	return out
}

func (p pair) tracks(kind failover.TrackerKind) (out []string) {
	for _, t := range p.cfg.Tracks {
		if t.Kind == kind {
			out = append(out, t.Name)
		}
	}
	return out
}

// commands returns the commands of the tracked scripts, which is what keepalived shows of them.
func (p pair) commands(cfg *failover.Config) (out []string) {
	for _, name := range p.tracks(failover.TrackScript) {
		for i := range cfg.Scripts {
			if cfg.Scripts[i].Name == name {
				out = append(out, command(&cfg.Scripts[i]))
			}
		}
	}
	return out
}

// command is what a script runs, in keepalived's form.
func command(c *failover.ScriptConfig) string {
	if c.Open != "" {
		return "<" + c.Open
	}
	return quoted(&c.Command)
}

func (p pair) weighted(kind failover.TrackerKind) (out []string) {
	for _, t := range p.cfg.Tracks {
		if t.Kind == kind {
			s := fmt.Sprintf("%s weight %d", t.Name, t.Weight)
			if t.Reverse {
				s += " reverse"
			}
			out = append(out, s)
		}
	}
	return out
}

// quoted returns a command as keepalived prints it: every word in single quotes.
func quoted(c *failover.Command) string {
	if c == nil || len(c.Args) == 0 {
		return ""
	}
	words := make([]string, len(c.Args))
	for i, a := range c.Args {
		words[i] = "'" + clean(a) + "'"
	}
	return strings.Join(words, " ")
}

func scope(n uint8) string {
	switch n {
	case 0:
		return "global"
	case 200:
		return "site"
	case 253:
		return "link"
	case 254:
		return "host"
	}
	return strconv.Itoa(int(n))
}

// stateNumber is keepalived's number of a state.
func stateNumber(s string) int {
	return max(0, slices.Index([]string{"INIT", "BACKUP", "MASTER", "FAULT"}, s))
}

func word(b bool, yes, no string) string {
	if b {
		return yes
	}
	return no
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

func whole(d time.Duration) int { return int(d / time.Second) }

func seconds(d time.Duration) json.Number {
	return json.Number(strconv.FormatFloat(float64(d.Microseconds())/1e6, 'f', -1, 64))
}

func fromMillis(ms float64) json.Number {
	return json.Number(strconv.FormatFloat(ms/1000, 'f', -1, 64))
}

func float6(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 6, 64) }

// interval is in seconds, in version 3 in milliseconds.
func interval(v wire.Version, d time.Duration) string {
	if v == wire.V2 {
		return fmt.Sprintf("%d sec", whole(d))
	}
	return fmt.Sprintf("%d milli-sec", d.Milliseconds())
}
