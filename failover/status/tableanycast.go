package status

import (
	"fmt"
	"io"
	"time"

	"failoverd/failover"
	"failoverd/vrrp/wire"
)

// services lists the anycast services, as routers does those.
func (p *printer) services(list []failover.AnycastStatus, now time.Time) {
	rows := make([]row, 0, len(list))
	for i := range list {
		s := &list[i]
		r := notesOf(s)
		notes := routerNotes(r)
		if s.Drained != nil {
			notes = append([]note{{yellow, "drained " + drainWords(s.Drained, now)}}, notes...)
		}
		rows = append(rows, row{
			cells: []cell{
				{text: clean(s.Name)},
				{s.State, serviceStyle(s.State)},
				{text: ago(now, s.Since)},
				count(addressCounts(s.Addresses)),
				count(objectCounts(s.Objects)),
				count(routeCounts(r)),
			},
			tail: cell{s.Why, whyStyle(s.State)}, notes: notes,
		})
	}
	p.table([]string{"SERVICE", "STATE", "SINCE", "ADDRESSES", "ROUTES", "BGP", "WHY"}, rows)
}

// notesOf returns what a service has in common with a router, for whoever looks for what is wrong with it.
func notesOf(s *failover.AnycastStatus) *failover.RouterStatus {
	return &failover.RouterStatus{
		Name: s.Name, State: s.State, Why: s.Why, Waiting: s.Waiting, Tracks: s.Tracks, Addresses: s.Addresses, Objects: s.Objects,
		Routes: s.Routes, Drained: s.Drained, PriorityBase: wire.PriorityOwner, PriorityEffective: wire.PriorityOwner,
	}
}

func serviceStyle(state string) style {
	switch state {
	case failover.ServiceAnnounced:
		return green
	case failover.ServiceLast, failover.ServiceWithdrawn, failover.ServiceDraining, failover.ServiceInit:
		return yellow
	}
	return alarm
}

// ServiceDetail prints everything about a, one of the anycast services of s, as Table would.
func ServiceDetail(w io.Writer, s *failover.Snapshot, a *failover.AnycastStatus, o TableOptions) error {
	p := &printer{w: w, width: o.Width, color: o.Color}
	now := Now(s)
	p.line(p.paint(bold, clean(a.Name)) + "  " + p.paint(serviceStyle(a.State), a.State) + "  anycast_service on " + clean(a.Interface))
	p.field("since", "%s ago, %s", ago(now, a.Since), a.Since.Local().Format(time.DateTime))
	p.text(whyStyle(a.State), label("why"), orDash(a.Why))
	if a.Waiting != "" && a.Waiting != a.Why {
		p.text(yellow, label("waiting"), a.Waiting)
	}
	if a.Drained != nil {
		p.text(yellow, label("drained"), drainWords(a.Drained, now))
	}
	p.field("drain time", "%s", millis(a.DrainTimeMS))
	p.withdrawGrace(a.WithdrawGraceMS)
	if k := a.KeepLast; k != nil {
		text := "no other announcement is seen"
		switch {
		case !k.Known:
			text = "no result yet"
		case k.Seen:
			text = "another announcement is seen"
		}
		if k.Reason != "" {
			text += " (" + k.Reason + ")"
		}
		p.field("keep last", "%s", fmt.Sprintf("track_check %s for %s: %s", k.Check, millis(k.SettleMS), text))
	}
	r := notesOf(a)
	p.tracks(r)
	p.objects(r)
	p.field("counts", "%s", fmt.Sprintf("announced %s, withdrawn %s", times(a.TimesAnnounced), times(a.TimesWithdrawn)))
	return p.err
}

// FindService returns the anycast service of that name; nil: there is none.
func FindService(s *failover.Snapshot, name string) *failover.AnycastStatus {
	for i := range s.Services {
		if s.Services[i].Name == name {
			return &s.Services[i]
		}
	}
	return nil
}
