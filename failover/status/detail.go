package status

import (
	"fmt"
	"io"
	"strings"
	"time"

	"failoverd/failover"
)

// Detail prints everything about one router, as Table would. now is the agent's clock at the time of the answer; see
// Now.
func Detail(w io.Writer, r *failover.RouterStatus, now time.Time, o TableOptions) error {
	p := &printer{w: w, width: o.Width, color: o.Color}
	p.line(p.paint(bold, clean(r.Name)) + "  " + p.paint(stateStyle(r.State), r.State) + "  " + r.Key.String())
	field := func(name, format string, args ...any) {
		p.text(plain, fmt.Sprintf("%s%-11s ", indent, name), fmt.Sprintf(format, args...))
	}
	field("since", "%s ago, %s", ago(now, r.Since), r.Since.Local().Format(time.DateTime))
	field("why", "%s", orDash(r.Why))
	if r.Waiting != "" {
		p.text(yellow, indent+"waiting     ", r.Waiting)
	}
	field("master", "%s", masterDetail(r))
	field("priority", "%s, %s", priority(r), preempt(r))
	field("sends", "VRRP version %d from %s, %s", r.Version, orDash(r.Source), casting(r))
	field("timers", "advert %s, learned %s, skew %s, down after %s%s",
		millis(r.AdvertIntervalMS), millis(r.LearnedIntervalMS), millis(r.SkewMS), millis(r.ActiveDownMS), next(r))
	p.objects(r)
	p.counters(&r.Counters, field)
	return p.err
}

// Now is the agent's wall clock when it gave the answer.
func Now(s *failover.Snapshot) time.Time {
	return s.TakenAt.Add(time.Duration(s.AgeSeconds * float64(time.Second)))
}

func masterDetail(r *failover.RouterStatus) string {
	switch m := r.Master; {
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
	return "leaves a live master alone"
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
	default:
		return ", takes over in " + millis(*r.NextTimerMS)
	}
}

// objects lists the addresses and routes, right and wrong ones.
func (p *printer) objects(r *failover.RouterStatus) {
	for i := range r.Addresses {
		a := &r.Addresses[i]
		p.object("address", a.Address.String()+" dev "+a.Interface, a.Wanted, a.Present, "present", a.Error)
	}
	for i := range r.Routes {
		a := &r.Routes[i]
		what := fmt.Sprintf("%s speaker %s when %s", orDash(a.Route), a.Speaker, a.When)
		word := "announced"
		if a.Announced {
			word = fmt.Sprintf("announced to %d neighbors", a.Sessions)
		}
		p.object("route", what, a.Wanted, a.Announced, word, a.Error)
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
	p.text(st, fmt.Sprintf("%s%-11s ", indent, kind), what+": "+state)
}

func (p *printer) counters(c *failover.RouterCounters, field func(name, format string, args ...any)) {
	field("adverts", "%d sent, %d received, %d of priority 0 sent", c.AdvertsSent, c.AdvertsReceived, c.PriorityZeroSent)
	field("roles", "master %d times, released %d, rivals heard %d", c.BecameMaster, c.ReleasedMaster, c.Rivals)
	var odd []string
	for _, x := range []struct {
		n    uint64
		text string
	}{
		{c.ListMismatches, "adverts with another address list"},
		{c.LateWakeups, "late wake-ups"},
		{c.NoSource, "adverts not sent for want of a source address"},
	} {
		if x.n > 0 {
			odd = append(odd, fmt.Sprintf("%d %s", x.n, x.text))
		}
	}
	if len(odd) > 0 {
		field("odd", "%s", strings.Join(odd, ", "))
	}
	field("gratuitous", "%d ARP and neighbor advertisements sent", c.Announcements)
	if d := drops(c.Drops); d != "" {
		field("dropped", "%s", d)
	}
	if d := drops(c.Checksums); d != "" {
		field("checksums", "%s", d)
	}
}

func millis(ms float64) string {
	if ms >= 10_000 {
		return span(time.Duration(ms * float64(time.Millisecond)))
	}
	return fmt.Sprintf("%.4gms", ms)
}
