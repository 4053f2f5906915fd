package status

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"failoverd/failover"
	"failoverd/vrrp/wire"
)

// Detail prints everything about r, one of the routers of s, as Table would.
func Detail(w io.Writer, s *failover.Snapshot, r *failover.RouterStatus, o TableOptions) error {
	p := &printer{w: w, width: o.Width, color: o.Color}
	now := Now(s)
	p.line(p.paint(bold, clean(r.Name)) + "  " + p.paint(stateStyle(r.State), r.State) + "  " + r.Key.String())
	p.field("since", "%s ago, %s", ago(now, r.Since), r.Since.Local().Format(time.DateTime))
	p.text(whyStyle(r.State), label("why"), orDash(r.Why))
	if r.Now != "" {
		p.text(plain, label("now"), r.Now)
	}
	if r.Waiting != "" && r.Waiting != r.Why {
		p.text(yellow, label("waiting"), r.Waiting)
	}
	if r.Drained != nil {
		p.text(yellow, label("drained"), drainWords(r.Drained, now))
	}
	if r.Group != "" {
		p.group(s, r, now)
	}
	p.field("master", "%s", masterDetail(r))
	p.field("priority", "%s, %s", priorityDetail(r), preempt(r))
	p.tracks(r)
	p.field("sends", "VRRP version %d, %s, %s", r.Version, casting(r), source(r))
	if r.VMAC != "" {
		p.field("vmac", "%s on %s", r.VMAC, r.Interface)
	}
	p.field("timers", "interval %s, the MASTER's %s, gone after %s (skew %s)%s",
		millis(r.AdvertIntervalMS), millis(r.LearnedIntervalMS), millis(r.ActiveDownMS), millis(r.SkewMS), next(r))
	p.withdrawGrace(r.WithdrawGraceMS)
	p.region(r)
	p.hmac(r.HMAC)
	p.objects(r)
	p.counters(&r.Counters)
	if len(r.Strangers) > 0 {
		p.text(yellow, label("not peers"), strangerWords(r.Strangers))
	}
	return p.err
}

// withdrawGrace says how long addresses stay after a withdrawal.
func (p *printer) withdrawGrace(ms float64) {
	if ms > 0 {
		p.field("settles", "withdraw_grace %s: in an orderly move the addresses stay that long after the routes are withdrawn", millis(ms))
	}
}

// label is the head of a line of Detail.
func label(name string) string { return fmt.Sprintf("%s%-11s ", indent, name) }

func (p *printer) field(name, format string, args ...any) {
	p.text(plain, label(name), fmt.Sprintf(format, args...))
}

// group is about the sync group of a router.
func (p *printer) group(s *failover.Snapshot, r *failover.RouterStatus, now time.Time) {
	i := slices.IndexFunc(s.Groups, func(g failover.GroupStatus) bool { return g.Name == r.Group })
	if i < 0 {
		p.field("sync group", "%s", r.Group)
		return
	}
	g := &s.Groups[i]
	because := ""
	if !strings.HasSuffix(r.Why, g.Why) && g.Why != r.Name+": "+r.Why {
		because = " because of " + g.Why
	}
	p.field("sync group", "%s (%s), %s for %s%s", g.Name, strings.Join(g.Members, ", "), g.State, ago(now, g.Since), because)
}

// priorityDetail says where the effective priority comes from.
func priorityDetail(r *failover.RouterStatus) string {
	total := 0
	for i := range r.Tracks {
		total += r.Tracks[i].Effect
	}
	s := priority(r)
	switch sum := int(r.PriorityBase) + total; {
	case r.PriorityBase == wire.PriorityOwner:
		return s + " as the owner of the addresses"
	case sum >= wire.PriorityOwner:
		return fmt.Sprintf("%s (%+d by what it tracks; %d is the most)", s, total, wire.PriorityOwner-1)
	case sum < 1:
		return fmt.Sprintf("%s (%+d by what it tracks; 1 is the least)", s, total)
	case total != 0:
		return fmt.Sprintf("%s (%+d by what it tracks)", s, total)
	default:
		return s
	}
}

// Now is the agent's wall clock when it gave the answer.
func Now(s *failover.Snapshot) time.Time {
	return s.TakenAt.Add(time.Duration(s.AgeSeconds * float64(time.Second)))
}

func masterDetail(r *failover.RouterStatus) string {
	switch m := r.Master; {
	case m == nil && r.LastMaster != nil:
		return fmt.Sprintf("none; %s was heard last, %s ago", r.LastMaster.Address, millis(r.LastMaster.HeardMSAgo))
	case m == nil:
		return "unknown"
	case m.Self:
		return fmt.Sprintf("this node, %s", m.Address)
	default:
		return fmt.Sprintf("%s with priority %d, heard %s ago", m.Address, m.Priority, millis(m.HeardMSAgo))
	}
}

func preempt(r *failover.RouterStatus) string {
	if r.Preempt {
		return "takes over from a lower one"
	}
	return "leaves a live MASTER alone"
}

func source(r *failover.RouterStatus) string {
	if r.Source == "" {
		return "no address to send from"
	}
	return "from " + r.Source
}

func casting(r *failover.RouterStatus) string {
	if r.Unicast {
		return "unicast"
	}
	return "multicast on " + r.Interface
}

func next(r *failover.RouterStatus) string {
	switch {
	case r.NextTimerMS == nil:
		return ""
	case r.State == "MASTER":
		return ", next advert in " + millis(*r.NextTimerMS)
	case r.TakesOver:
		return ", takes over in " + millis(*r.NextTimerMS)
	default:
		return ", counts as gone in " + millis(*r.NextTimerMS)
	}
}

// objects lists the addresses, kernel objects and announcements, right and wrong ones.
func (p *printer) objects(r *failover.RouterStatus) {
	for i := range r.Addresses {
		a := &r.Addresses[i]
		p.object("address", a.Address.String()+" dev "+a.Interface, a.Wanted, a.Present, "present", a.Error)
	}
	for i := range r.Objects {
		o := &r.Objects[i]
		switch {
		case o.Error != "":
			p.text(red, label(o.Kind), o.Object+": "+o.Error)
		case o.Wanted:
			p.field(o.Kind, "%s: present", o.Object)
		default:
			p.field(o.Kind, "%s: absent", o.Object)
		}
	}
	for i := range r.Routes {
		a := &r.Routes[i]
		what := fmt.Sprintf("%s speaker %s when %s", orDash(a.Route), a.Speaker, a.When)
		word := "announced"
		switch {
		case a.Announced && a.Sessions == 0 && a.SessionsUnknown:
			word = "announced; the speaker does not tell to whom"
		case a.Announced && a.Sessions == 1:
			word = "announced to 1 neighbor"
		case a.Announced:
			word = fmt.Sprintf("announced to %d neighbors", a.Sessions)
		}
		p.object("BGP route", what, a.Wanted, a.Announced, word, a.Error)
		if a.Origin != "" {
			p.field("RPKI", "%s: %s", a.Prefix, a.Origin)
		}
		if a.Warning != "" {
			p.text(yellow, label("warning"), a.Warning)
		}
	}
}

func (p *printer) object(kind, what string, wanted, there bool, word, err string) {
	st, state := plain, "absent"
	switch diff := difference(wanted, there, word, err); {
	case diff != "":
		st, state = red, diff
	case there:
		state = word
	}
	p.text(st, label(kind), what+": "+state)
}

func (p *printer) counters(c *failover.RouterCounters) {
	p.field("adverts", "%d sent, %d to resign; %d received, %d to resign",
		c.AdvertsSent, c.PriorityZeroSent, c.AdvertsReceived, c.PriorityZeroRecv)
	p.field("roles", "became MASTER %s, gave it up %s, heard a rival %s",
		times(c.BecameMaster), times(c.ReleasedMaster), times(c.Rivals))
	var odd []string
	for _, x := range []struct {
		n    uint64
		text string
	}{
		{c.Claims, "claims of other hosts to a virtual address"},
		{c.ListMismatches, "adverts with another address list"},
		{c.LateWakeups, "late wake-ups"},
		{c.NoSource, "adverts not sent for want of a source address"},
	} {
		if x.n > 0 {
			odd = append(odd, fmt.Sprintf("%d %s", x.n, x.text))
		}
	}
	if len(odd) > 0 {
		p.field("odd", "%s", strings.Join(odd, ", "))
	}
	p.field("gratuitous", "%d ARP and neighbor advertisements sent", c.Announcements)
	if d := drops(c.Drops); d != "" {
		p.field("dropped", "%s", d)
	}
	if d := drops(c.Checksums); d != "" {
		p.field("checksums", "%s", d)
	}
}

// strangerWords lists the sources of dropped unicast advertisements.
func strangerWords(list []failover.StrangerStatus) string {
	words := make([]string, len(list))
	for i := range list {
		words[i] = fmt.Sprintf("%s (%s, %s ago)", list[i].Source, times(list[i].Packets), millis(list[i].MSAgo))
	}
	return "advertisements were dropped from " + strings.Join(words, ", ")
}

func times(n uint64) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func millis(ms float64) string {
	if ms >= 10_000 {
		return span(time.Duration(ms * float64(time.Millisecond)))
	}
	return fmt.Sprintf("%.4gms", ms)
}
