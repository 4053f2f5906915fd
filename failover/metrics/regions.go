package metrics

// regions writes what there is of sites.
func (r *recorder) regions() {
	for i := range r.s.Sites {
		s := &r.s.Sites[i]
		r.put(siteAuthority, number(s.Authority == "valid" || s.Authority == "held"), s.Name)
		r.put(siteRemaining, s.RemainingMS/1000, s.Name)
		r.put(siteFence, s.FenceMS/1000, s.Name)
		r.putMillis(siteAck, s.AckMSAgo, s.Name)
	}
	for i := range r.s.Watches {
		w := &r.s.Watches[i]
		r.putSet(watchVerdict, verdicts, w.Verdict, w.Name)
		for _, v := range w.Votes {
			r.putSet(watchVote, verdicts, v.Says, w.Name, v.Name)
		}
		r.put(watchDown, float64(w.Down), w.Name)
		r.put(watchQuorum, float64(w.Quorum), w.Name)
		r.put(watchObserved, w.ObservedMS/1000, w.Name)
		r.put(watchTakeover, w.TakeoverMS/1000, w.Name)
		r.putMillis(watchHeard, w.HeardMSAgo, w.Name)
		r.put(watchContact, number(w.Contact), w.Name)
		r.put(watchHeld, number(w.Held != ""), w.Name)
		r.put(watchPenalty, float64(w.Penalty), w.Name)
		r.put(watchLatched, number(w.Latched), w.Name)
	}
	for i := range r.s.Heard {
		n := &r.s.Heard[i]
		r.put(nodeHeard, n.HeardMSAgo/1000, n.About, n.Site, n.Node)
	}
}

// partners writes what there is of heartbeats.
func (r *recorder) partners() {
	for i := range r.s.Partners {
		p := &r.s.Partners[i]
		r.put(partnerSent, float64(p.Sent), p.ID)
		r.putMap(partnerOutcomes, p.Outcomes, p.ID)
		r.putMillis(partnerRTT, p.RTTMS, p.ID)
		r.putMillis(partnerAnswered, p.AnsweredMSAgo, p.ID)
	}
	for i := range r.s.Listeners {
		l := &r.s.Listeners[i]
		r.put(listenerOpen, number(l.Open), l.Address)
		r.putMap(listenerHeard, l.Outcomes, l.Address)
	}
}

// recovery writes the bounds. One router may have several of a failure, in several ways: the worst one counts.
func (r *recorder) recovery() {
	type key struct{ router, failure string }
	worst := make(map[key]float64)
	for i := range r.s.Recovery {
		b := &r.s.Recovery[i]
		if b.TotalMS != nil {
			k := key{b.Router, b.Failure}
			worst[k] = max(worst[k], *b.TotalMS)
		}
	}
	for k, ms := range worst {
		r.put(recoveryBound, ms/1000, k.router, k.failure)
	}
}
