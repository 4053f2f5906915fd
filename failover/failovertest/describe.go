package failovertest

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"failoverd/bgp"
	"failoverd/failover"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// Describe returns the effects in words, a line each, in the order in which they are carried out.
func Describe(fx *failover.Effects) (lines []string) {
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	for i := range fx.Adverts {
		say("%s", describeAdvert(&fx.Adverts[i]))
	}
	for i := range fx.Heartbeats {
		say("heartbeat %s", describeHeartbeat(&fx.Heartbeats[i]))
	}
	for i := range fx.Answers {
		say("answer %s", describeAnswer(&fx.Answers[i]))
	}
	for i, a := range fx.Announcements {
		if i == 0 || fx.Announcements[i-1].Interface != a.Interface {
			say("announce on %s:", a.Interface)
		}
		lines[len(lines)-1] += " " + a.Address.String()
	}
	for i := range fx.Routes {
		say("routes %s #%d: %s", fx.Routes[i].Speaker, fx.Routes[i].Desired.Generation, describeRoutes(fx.Routes[i].Desired.Routes))
	}
	if fx.Objects != nil {
		say("%s", describeObjects(fx.Objects))
	}
	if d := fx.Addresses; d != nil {
		var list []string
		for i := range d.Addresses {
			list = append(list, FormatAddress(&d.Addresses[i]))
		}
		renewal := ""
		if d.Renewal > 0 {
			renewal = fmt.Sprintf(" renewal %d", d.Renewal)
		}
		say("addresses #%d%s: %s", d.Generation, renewal, orNone(list))
	}
	for i := range fx.Notifications {
		say("%s", describeNotification(&fx.Notifications[i]))
	}
	for i := range fx.Verdicts {
		v := &fx.Verdicts[i]
		if v.Refused != "" {
			say("refused #%d: %s", v.Ref, v.Refused)
		} else {
			say("done #%d: %s", v.Ref, v.Text)
		}
	}
	for i := range fx.Events {
		say("%s", describeEvent(&fx.Events[i]))
	}
	if fx.Stopped {
		say("stopped")
	}
	return lines
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}

func describeRoutes(routes []bgp.Route) string {
	var list []string
	for _, r := range routes {
		list = append(list, r.String())
	}
	return orNone(list)
}

// group returns the multicast group that a packet to dst is for; zero: none.
func group(dst netip.Addr) netip.Addr {
	if dst.IsMulticast() {
		return dst
	}
	return netip.Addr{}
}

func describeAdvert(a *failover.Advert) string {
	var p wire.Packet
	s := fmt.Sprintf("advert %s %s > %s", a.Link, a.Src, a.Dst)
	if why := wire.Parse(a.Payload, wire.Header{Src: a.Src, Dst: a.Dst, TTL: a.TTL, Group: group(a.Dst)}, &p); why != wire.Accepted {
		return s + ": not a packet: " + why.String()
	}
	if a.MAC != [6]byte{} {
		s += " as " + net.HardwareAddr(a.MAC[:]).String()
	}
	if a.TTL != wire.TTL {
		s += fmt.Sprintf(" ttl %d", a.TTL)
	}
	return s + fmt.Sprintf(": vrid %d priority %d interval %v", p.VRID, p.Priority, p.Interval.Duration())
}

// describeHeartbeat returns "#ID to PARTNER: STATE EPOCH HOLDER" for the first service.
func describeHeartbeat(h *failover.Heartbeat) string {
	s := fmt.Sprintf("#%d to %s", h.Request.ID, h.Partner)
	for _, e := range h.Request.Entries {
		s += fmt.Sprintf(": %d/%d %s %d %s", e.Family, e.VRID, e.State, e.Epoch, e.Holder)
	}
	return s
}

// describeAnswer returns "#ID: VERDICT, SITE AGE [released], SERVICE STATE EPOCH HOLDER".
func describeAnswer(a *failover.Answer) string {
	s := fmt.Sprintf("#%d: %s", a.Reply.ID, a.Reply.Verdict)
	for _, h := range a.Reply.Sites {
		s += fmt.Sprintf(", %s %v", h.Site, h.Age)
		if h.Released {
			s += " released"
		}
	}
	for _, k := range a.Reply.Services {
		s += fmt.Sprintf(", %d/%d %s %d %s", k.Family, k.VRID, k.State, k.Epoch, k.Holder)
	}
	return s
}

var eventWords = map[failover.EventKind]string{
	failover.EventTransition: "transition", failover.EventFault: "fault", failover.EventAddresses: "addresses",
	failover.EventRestored: "restored", failover.EventSwept: "swept", failover.EventAddressFailed: "address failed",
	failover.EventRoutes: "route", failover.EventRival: "rival", failover.EventSession: "session",
	failover.EventSpeaker: "speaker", failover.EventRefused: "refused", failover.EventForeign: "foreign", failover.EventHold: "hold",
	failover.EventObjectFailed: "object failed", failover.EventObjectRestored: "object restored", failover.EventDevice: "device",
	failover.EventTracker: "tracker", failover.EventPriority: "priority", failover.EventGroup: "group",
	failover.EventTakeover: "takeover",
	failover.EventInterval: "interval", failover.EventLate: "late", failover.EventReconfigured: "reconfigured",
	failover.EventWatch: "watch", failover.EventAuthority: "authority", failover.EventTerm: "term", failover.EventDrain: "drain",
	failover.EventHandover: "handover", failover.EventStart: "start", failover.EventStop: "stop",
	failover.EventOrigin: "origin", failover.EventCache: "rpki cache", failover.EventHeld: "held",
	failover.EventNamesakes: "namesakes", failover.EventClaimed: "claimed",
}

// describeEvent returns "log KIND SUBJECT: FROM > TO, REASON".
func describeEvent(e *failover.Event) string {
	word, ok := eventWords[e.Kind]
	if !ok {
		panic(e.Kind)
	}
	s := "log " + word
	for _, subject := range []string{e.Router, e.Speaker, e.Group, e.Object} {
		if subject != "" {
			s += " " + subject
		}
	}
	if e.Address.Prefix.IsValid() {
		s += " " + e.Address.String()
	}
	if e.Peer.IsValid() {
		s += " peer " + e.Peer.String()
	}
	if e.From != "" {
		s += ": " + e.From + " > " + e.To
	} else if e.To != "" {
		s += ": " + e.To
	}
	if e.Reason != "" {
		s += " (" + e.Reason + ")"
	}
	return s
}

// status writes what people see, apart from counters.
func (s *script) status() {
	for _, line := range DescribeSnapshot(s.core.Snapshot(s.now, wall)) {
		s.say("%s", line)
	}
}

func wall(i vrrp.Instant) time.Time { return time.Unix(0, int64(i)).UTC() }

// DescribeSnapshot returns the part of a snapshot that no discarded packet may change, in words.
func DescribeSnapshot(n *failover.Snapshot) (lines []string) {
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	for i := range n.Routers {
		r := &n.Routers[i]
		say("%s %s since %s (%s)", r.Name, r.State, FormatInstant(vrrp.Instant(r.Since.UnixNano())), r.Why)
		if r.Waiting != "" {
			say("  waits: %s", r.Waiting)
		}
		if r.Now != "" {
			say("  now: %s", r.Now)
		}
		if m := r.Master; m != nil {
			say("  master %s priority %d", m.Address, m.Priority)
		}
		say("  source %q priority %d learned %v down %v%s", r.Source, r.PriorityEffective, r.LearnedIntervalMS, r.ActiveDownMS, timer(r))
		lines = append(lines, describeAddresses(r.Addresses)...)
		lines = append(lines, describeKernelObjects(r.Objects)...)
		lines = append(lines, describeTracks(r.Tracks)...)
		lines = append(lines, describeAnnouncements(r.Routes)...)
	}
	for i := range n.Services {
		r := &n.Services[i]
		say("%s %s since %s (%s)", r.Name, r.State, FormatInstant(vrrp.Instant(r.Since.UnixNano())), r.Why)
		if r.Waiting != "" {
			say("  waits: %s", r.Waiting)
		}
		lines = append(lines, describeAddresses(r.Addresses)...)
		lines = append(lines, describeKernelObjects(r.Objects)...)
		lines = append(lines, describeTracks(r.Tracks)...)
		lines = append(lines, describeAnnouncements(r.Routes)...)
	}
	for _, g := range n.Groups {
		say("group %s %s since %s (%s)", g.Name, g.State, FormatInstant(vrrp.Instant(g.Since.UnixNano())), g.Why)
	}
	for _, a := range n.StaticAddresses {
		say("static address %s dev %s%s%s%s", a.Address, a.Interface, when(a.Wanted, " wanted"), when(a.Present, " present"), when(a.Error != "", " error: "+a.Error))
	}
	if len(n.StaticObjects) > 0 {
		say("static:")
		lines = append(lines, describeKernelObjects(n.StaticObjects)...)
	}
	for i := range n.CheckGroups {
		g := &n.CheckGroups[i]
		say("check group %s %s: %s%s", g.Name, g.Rule, g.Verdict, when(g.Reason != "", " ("+g.Reason+")"))
	}
	for i := range n.Speakers {
		p := &n.Speakers[i]
		say("%s%s%s: %s", p.Name, when(p.Connected, " connected"), when(p.Error != "", " error: "+p.Error), orNone(p.Announced))
	}
	return lines
}

func describeAddresses(list []failover.AddressStatus) (lines []string) {
	for _, a := range list {
		lines = append(lines, fmt.Sprintf("  address %s dev %s%s%s%s", a.Address, a.Interface, when(a.Wanted, " wanted"), when(a.Present, " present"), when(a.Error != "", " error: "+a.Error)))
	}
	return lines
}

func describeAnnouncements(list []failover.RouteStatus) (lines []string) {
	for _, x := range list {
		lines = append(lines, fmt.Sprintf("  route %s via %s when %s%s%s%s", x.Route, x.Speaker, x.When, when(x.Wanted, " wanted"), when(x.Announced, " announced"), when(x.Error != "", " error: "+x.Error)))
	}
	return lines
}

func timer(r *failover.RouterStatus) string {
	if r.NextTimerMS == nil {
		return ""
	}
	return fmt.Sprintf(" timer in %v%s", *r.NextTimerMS, when(r.State == "BACKUP" && !r.TakesOver, ", then it asks"))
}

func when(b bool, s string) string {
	if b {
		return s
	}
	return ""
}
