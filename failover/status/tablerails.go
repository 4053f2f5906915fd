package status

import (
	"fmt"
	"strconv"
	"time"

	"failoverd/bgp"
	"failoverd/failover"
)

// origins is about RPKI: the caches of each speaker, and the validity of what it announces or would announce.
func (p *printer) origins(ss []failover.SpeakerStatus, now time.Time) {
	var caches, origins []row
	for i := range ss {
		s := &ss[i]
		if s.RPKI == nil {
			continue
		}
		for j := range s.RPKI.Caches {
			caches = append(caches, cacheRow(s, &s.RPKI.Caches[j], now))
		}
		for j := range s.RPKI.Origins {
			origins = append(origins, originRow(s, &s.RPKI.Origins[j]))
		}
	}
	if len(caches) > 0 {
		p.line("")
		p.table([]string{"RPKI CACHE", "SPEAKER", "STATE", "RECORDS", "CURRENT", "DATA"}, caches)
	}
	if len(origins) > 0 {
		p.line("")
		p.table([]string{"OWN PREFIX", "SPEAKER", "ORIGIN", "RPKI", "ANNOUNCEMENT"}, origins)
	}
}

func cacheRow(s *failover.SpeakerStatus, c *bgp.CacheStatus, now time.Time) row {
	state, current, data := cell{c.State, green}, "-", cell{"none", red}
	if c.State != "up" {
		state.style = red
	}
	if c.HasData {
		current = ago(now, c.Synced) + " ago"
		data = cell{"for another " + span(c.Expires.Sub(now)), plain}
		if s.RPKI.Using == c.Address {
			data.text = "in use, counts " + data.text
		}
	}
	r := row{cells: []cell{
		{text: clean(c.Address)}, {text: clean(s.Name)}, state, {text: strconv.FormatInt(c.Records, 10)}, {text: current},
	}, tail: data}
	if c.Error != "" {
		r.notes = append(r.notes, note{yellow, "error: " + c.Error})
	}
	return r
}

func originRow(s *failover.SpeakerStatus, o *failover.OriginStatus) row {
	r := row{cells: []cell{
		{text: o.Prefix.String()}, {text: clean(s.Name)}, {text: fmt.Sprintf("AS%d", o.OriginAS)}, {o.Validity, validityStyle(o.Validity)},
	}, tail: cell{clean(o.Effect), plain}}
	if o.Validity != bgp.Valid.String() {
		r.notes = append(r.notes, note{validityStyle(o.Validity), o.Why})
	}
	return r
}

func validityStyle(word string) style {
	switch word {
	case bgp.Valid.String():
		return green
	case bgp.Invalid.String():
		return alarm
	}
	return yellow
}

// heldNotes says what max_changes holds back.
func heldNotes(s *failover.SpeakerStatus) (notes []note) {
	for _, h := range s.Held {
		word := "max_changes"
		if h.Flaps {
			word = "avoid_flap_damping"
		}
		text := fmt.Sprintf("%s: the newest state of %s is held back until %s", word, h.Prefix, h.Until.Local().Format(time.TimeOnly))
		if h.Withdrawn {
			text += ", and it is withdrawn until then"
		}
		notes = append(notes, note{yellow, text})
	}
	return notes
}
