package metrics

import (
	"runtime"
	"strconv"
	"time"

	"failoverd/bgp"
	"failoverd/failover"
)

// States of state sets, so that each of them is there with 0 or 1.
var (
	routerStates  = []string{"MASTER", "BACKUP", "FAULT", "INIT"}
	serviceStates = []string{"ANNOUNCED", "LAST", "DRAINING", "WITHDRAWN", "FAULT", "INIT"}
	verdicts      = []string{"up", "down", "unknown"}
	validities    = []string{"valid", "not-found", "invalid", "unknown"}
)

func (r *recorder) agent(now time.Time) {
	s, a, c := r.s, &r.s.Agent, &r.s.Config
	r.put(buildInfo, 1, s.Version, runtime.Version())
	r.putTime(agentStart, s.StartedAt)
	r.put(agentAge, max(0, now.Sub(s.TakenAt).Seconds()))
	r.put(agentStopping, number(a.Stopping))
	r.put(loopLate, a.LoopLateMillis/1000)
	r.put(loopBatches, float64(a.Batches))
	r.put(queueDrops, float64(a.PacketsDropped))
	r.put(addressWrites, float64(a.AddressWrites))
	r.put(eventsLost, float64(a.EventsLost))
	r.put(eventLogBroken, number(a.EventLogError != ""))
	r.put(configInfo, 1, c.File, c.ConfigID, c.Hash)
	r.putTime(configLoaded, c.LoadedAt)
	r.put(configReloads, float64(c.Reloads))
	r.put(configRefused, number(c.LastError != ""))
	wanted, present, _ := addresses(s.StaticAddresses)
	r.put(staticWanted, wanted)
	r.put(staticPresent, present)
}

func (r *recorder) links() {
	for i := range r.s.Links {
		l := &r.s.Links[i]
		r.put(linkOpen, number(l.Open), l.Link)
		r.put(linkReceived, float64(l.Received), l.Link)
		r.put(linkSent, float64(l.Sent), l.Link)
		r.put(linkErrors, float64(l.SendErrors), l.Link)
		r.putMap(linkDrops, l.Drops, l.Link)
	}
}

func (r *recorder) router(v *failover.RouterStatus) {
	id := []string{v.Name, v.Key.String()}
	r.putSet(routerState, routerStates, v.State, id...)
	r.putTime(routerSince, v.Since, id...)
	r.put(routerPriority, float64(v.PriorityEffective), id...)
	r.put(routerBase, float64(v.PriorityBase), id...)
	if m := v.Master; m != nil {
		r.put(routerMaster, 1, v.Name, v.Key.String(), m.Address.String())
		if !m.Self {
			r.put(routerHeard, m.HeardMSAgo/1000, id...)
		}
	}
	r.put(routerInterval, v.AdvertIntervalMS/1000, id...)
	r.put(routerDown, v.ActiveDownMS/1000, id...)
	if len(v.Takeover) > 0 {
		total := 0.0
		for _, p := range v.Takeover {
			total += p.MS
		}
		r.put(routerTakeover, total/1000, id...)
	}
	r.routerCounters(&v.Counters, id)
	if h := v.HMAC; h != nil {
		r.putMap(routerHMAC, h.Outcomes, id...)
		r.putMillis(routerSkew, h.SkewMS, id...)
	}
	wanted, present, errors := addresses(v.Addresses)
	r.put(routerWanted, wanted, id...)
	r.put(routerPresent, present, id...)
	r.put(routerErrors, errors+objectErrors(v.Objects), id...)
	wanted, announced, unheard := announcements(v.Routes)
	r.put(routerToAnnounce, wanted, id...)
	r.put(routerAnnounced, announced, id...)
	r.put(routerUnheard, unheard, id...)
	r.put(routerDrained, number(v.Drained != nil), id...)
	r.put(routerEpoch, float64(v.Epoch), id...)
	for _, t := range v.Tracks {
		r.put(routerTrack, float64(t.Effect), v.Name, v.Key.String(), t.Kind, t.Name)
		r.put(routerTrackFault, number(t.Fault), v.Name, v.Key.String(), t.Kind, t.Name)
	}
}

func (r *recorder) routerCounters(c *failover.RouterCounters, id []string) {
	for _, x := range []struct {
		m *metric
		n uint64
	}{
		{routerBecame, c.BecameMaster},
		{routerReleased, c.ReleasedMaster},
		{routerSent, c.AdvertsSent},
		{routerReceived, c.AdvertsReceived},
		{routerZeroSent, c.PriorityZeroSent},
		{routerZeroRecv, c.PriorityZeroRecv},
		{routerRivals, c.Rivals},
		{routerMismatches, c.ListMismatches},
		{routerLate, c.LateWakeups},
		{routerNoSource, c.NoSource},
		{routerGratuitous, c.Announcements},
	} {
		r.put(x.m, float64(x.n), id...)
	}
	r.putMap(routerRejected, c.Drops, id...)
	r.putMap(routerChecksums, c.Checksums, id...)
}

func (r *recorder) service(a *failover.AnycastStatus) {
	r.putSet(serviceState, serviceStates, a.State, a.Name)
	r.putTime(serviceSince, a.Since, a.Name)
	r.put(serviceUp, float64(a.TimesAnnounced), a.Name)
	r.put(serviceDown, float64(a.TimesWithdrawn), a.Name)
	wanted, present, errors := addresses(a.Addresses)
	r.put(serviceWanted, wanted, a.Name)
	r.put(servicePresent, present, a.Name)
	r.put(serviceErrors, errors+objectErrors(a.Objects), a.Name)
	wanted, announced, unheard := announcements(a.Routes)
	r.put(serviceToAnnounce, wanted, a.Name)
	r.put(serviceAnnounced, announced, a.Name)
	r.put(serviceUnheard, unheard, a.Name)
	r.put(serviceDrained, number(a.Drained != nil), a.Name)
}

func (r *recorder) groups() {
	for i := range r.s.Groups {
		r.putSet(groupState, routerStates, r.s.Groups[i].State, r.s.Groups[i].Name)
	}
}

func (r *recorder) checks() {
	for i := range r.s.Checks {
		c := &r.s.Checks[i]
		unknown := !c.Known || c.Unknown
		if !unknown {
			r.put(checkUp, number(c.OK), c.Name, c.Kind)
		}
		r.put(checkUnknown, number(unknown), c.Name, c.Kind)
		if c.Since != nil {
			r.putTime(checkSince, *c.Since, c.Name, c.Kind)
		}
		if c.LastRTTMS > 0 {
			r.put(checkLast, c.LastRTTMS/1000, c.Name, c.Kind)
		}
		if c.RTTMS > 0 {
			r.put(checkRTT, c.RTTMS/1000, c.Name, c.Kind)
		}
		if c.Probes > 0 {
			r.put(checkLoss, c.LossPercent/100, c.Name, c.Kind)
		}
		r.put(checkDamped, number(c.Damped), c.Name, c.Kind)
		r.put(checkWarning, number(c.Warning != ""), c.Name, c.Kind)
	}
	for i := range r.s.CheckGroups {
		r.putSet(checkGroup, verdicts, r.s.CheckGroups[i].Verdict, r.s.CheckGroups[i].Name)
	}
}

func (r *recorder) speaker(s *failover.SpeakerStatus) {
	r.put(speakerConnected, number(s.Connected), s.Name)
	r.put(speakerRestarts, float64(s.Restarts), s.Name)
	if s.ResidentBytes > 0 {
		r.put(speakerMemory, float64(s.ResidentBytes), s.Name)
	}
	if s.MemoryLimit > 0 {
		r.put(speakerLimit, float64(s.MemoryLimit), s.Name)
	}
	r.put(speakerAnnounced, float64(len(s.Announced)), s.Name)
	r.put(speakerHeld, float64(len(s.Held)), s.Name)
	for i := range s.Neighbors {
		n := &s.Neighbors[i]
		address := n.Address.String()
		r.put(sessionUp, number(n.State == bgp.Established), s.Name, address)
		r.put(sessionState, 1, s.Name, address, n.State.String())
		r.putTime(sessionSince, n.Since, s.Name, address)
		r.put(sessionFlaps, float64(n.Flaps), s.Name, address)
		r.put(sessionHold, n.HoldTime.Seconds(), s.Name, address)
	}
	if s.RPKI != nil {
		r.rpki(s.Name, s.RPKI)
	}
}

func (r *recorder) rpki(speaker string, s *failover.RPKIStatus) {
	for i := range s.Caches {
		c := &s.Caches[i]
		r.put(cacheUp, number(c.State == "up"), speaker, c.Address)
		r.put(cacheData, number(c.HasData), speaker, c.Address)
		r.put(cacheRecords, float64(c.Records), speaker, c.Address)
		r.putTime(cacheExpires, c.Expires, speaker, c.Address)
	}
	for i := range s.Origins {
		o := &s.Origins[i]
		r.putSet(originValidity, validities, o.Validity, speaker, o.Prefix.String(), strconv.FormatUint(uint64(o.OriginAS), 10))
	}
}

// addresses counts those that are to be there, those of them that are, and errors.
func addresses(list []failover.AddressStatus) (wanted, present, errors float64) {
	for i := range list {
		wanted += number(list[i].Wanted)
		present += number(list[i].Wanted && list[i].Present)
		errors += number(list[i].Error != "")
	}
	return wanted, present, errors
}

func objectErrors(list []failover.ObjectStatus) (n float64) {
	for i := range list {
		n += number(list[i].Error != "")
	}
	return n
}

// announcements counts routes that are to be announced, those of them that are, and those of these that nobody hears.
func announcements(list []failover.RouteStatus) (wanted, announced, unheard float64) {
	for i := range list {
		a := &list[i]
		wanted += number(a.Wanted)
		announced += number(a.Wanted && a.Announced)
		unheard += number(a.Wanted && a.Announced && a.Sessions == 0 && !a.SessionsUnknown)
	}
	return wanted, announced, unheard
}
