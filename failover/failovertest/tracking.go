package failovertest

import (
	"fmt"
	"slices"
	"strings"

	"failoverd/failover"
)

// trackers are the words for what is tracked.
var trackers = map[string]failover.TrackerKind{
	"interface": failover.TrackInterface, "script": failover.TrackScript, "file": failover.TrackFile, "process": failover.TrackProcess,
	"check": failover.TrackCheck, "bgp": failover.TrackBGP,
}

// trackingLine reads a line about what decides on roles besides the protocol; ok is false if it is no such line. Lines of
// their own:
//
//	boot_delay D
//	link_delay INTERFACE [down D] [up D]
//	multicast GROUP
//	group NAME ROUTER...
//	check_group NAME all|any|at_least N [script|file|process|check NAME]...
//	group_notify [master|backup|fault|stop|any PROGRAM]...      of the group before it
//
// and lines that follow that of a router:
//
//	track interface|script|file|process|check|bgp NAME [weight N] [reverse]
//	ignore_link
func (p *configParser) trackingLine(word string, w *words) (ok bool) {
	cfg := p.cfg
	switch word {
	case "boot_delay":
		cfg.BootDelay = p.duration(w)
	case "link_delay":
		p.linkDelay(w)
	case "multicast":
		if a := p.address(w); a.Is4() {
			cfg.Multicast.IPv4 = a
		} else {
			cfg.Multicast.IPv6 = a
		}
	case "group":
		cfg.Groups = append(cfg.Groups, failover.GroupConfig{Name: w.next(), Members: slices.Clone(*w)})
		*w = nil
	case "check_group":
		cfg.CheckGroups = append(cfg.CheckGroups, p.checkGroup(w))
	case "group_notify":
		if len(cfg.Groups) == 0 {
			return false
		}
		p.notify(w, &cfg.Groups[len(cfg.Groups)-1].Notify)
	case "track", "ignore_link":
		if len(cfg.Routers) == 0 {
			return false
		}
		r := &cfg.Routers[len(cfg.Routers)-1]
		if word == "ignore_link" {
			r.IgnoreLink = true
		} else {
			r.Tracks = append(r.Tracks, p.track(w))
		}
	default:
		return false
	}
	return true
}

func (p *configParser) checkGroup(w *words) failover.CheckGroupConfig {
	g := failover.CheckGroupConfig{Name: w.next()}
	switch rule := w.next(); rule {
	case "all":
	case "any":
		g.Rule = failover.GroupAny
	case "at_least":
		g.Rule, g.AtLeast = failover.GroupAtLeast, p.number(w)
	default:
		p.wrong("rule %q", rule)
	}
	for len(*w) > 0 {
		g.Members = append(g.Members, p.tracker(w))
	}
	return g
}

func (p *configParser) linkDelay(w *words) {
	name := w.next()
	var d failover.LinkDelay
	for len(*w) > 0 {
		switch o := w.next(); o {
		case "down":
			d.Down = p.duration(w)
		case "up":
			d.Up = p.duration(w)
		default:
			p.wrong("unknown word %q", o)
		}
	}
	if p.cfg.LinkDelays == nil {
		p.cfg.LinkDelays = make(map[string]failover.LinkDelay)
	}
	p.cfg.LinkDelays[name] = d
}

func (p *configParser) track(w *words) failover.Track {
	t := failover.Track{Tracker: p.tracker(w)}
	for len(*w) > 0 {
		switch o := w.next(); o {
		case "weight":
			t.Weight = p.number(w)
		case "reverse":
			t.Reverse = true
		default:
			p.wrong("unknown word %q", o)
		}
	}
	return t
}

func (p *configParser) tracker(w *words) failover.Tracker {
	kind := w.next()
	k, ok := trackers[kind]
	if !ok {
		p.wrong("nothing called %q can be tracked", kind)
	}
	return failover.Tracker{Kind: k, Name: w.next()}
}

// tracker reports a result.
func (s *script) tracker(p *configParser, w *words) {
	rep := failover.TrackerReport{Tracker: p.tracker(w), OK: true}
	switch o := w.next(); o {
	case "ok":
	case "failed", "unknown":
		rep.OK, rep.Unknown, rep.Reason, *w = false, o == "unknown", strings.Join(*w, " "), nil
	case "is":
		rep.Value = p.number(w)
	case "absent":
		rep.NoNumber, rep.Reason = true, "no such file"+failover.TakenAsZero
	default:
		p.wrong("result %q", o)
	}
	s.step(failover.TrackerReported{Report: rep})
}

// describeTracks returns what a snapshot says of tracked things, in words.
func describeTracks(list []failover.TrackStatus) (lines []string) {
	for i := range list {
		t := &list[i]
		result := "unknown"
		switch {
		case !t.Known:
		case t.Unknown:
			result = "cannot look (" + t.Reason + ")"
		case !t.OK:
			result = "failed (" + t.Reason + ")"
		case t.Kind == failover.TrackFile.String():
			result = fmt.Sprint(t.Value)
		default:
			result = "ok"
		}
		lines = append(lines, fmt.Sprintf("  %s %s weight %d: %s, effect %d%s", t.Kind, t.Name, t.Weight, result, t.Effect, when(t.Fault, ", fault")))
	}
	return lines
}
