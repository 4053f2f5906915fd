package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"failoverd/bgp"
	"failoverd/failover"
	"failoverd/vrrp"
)

// eventLog says how each kind of event reads in the log: a constant message, and a level that says who must act.
var eventLog = map[failover.EventKind]struct {
	level   slog.Level
	message string
}{
	failover.EventTransition:    {slog.LevelInfo, "transition"},
	failover.EventFault:         {slog.LevelWarn, "router cannot run"},
	failover.EventAddresses:     {slog.LevelInfo, "addresses"},
	failover.EventRestored:      {slog.LevelWarn, "address removed by somebody else, put back"},
	failover.EventSwept:         {slog.LevelWarn, "leftover address of an earlier run removed"},
	failover.EventAddressFailed: {slog.LevelError, "address not as it should be"},
	failover.EventForeign:       {slog.LevelWarn, "somebody else has put a virtual address on this node; two nodes may answer for it"},
	failover.EventClaimed:       {slog.LevelWarn, "virtual address claimed by another host"},
	failover.EventRoutes:        {slog.LevelInfo, "route"},
	failover.EventRival:         {slog.LevelWarn, "another active router heard"},
	failover.EventSession:       {slog.LevelInfo, "bgp session"},
	failover.EventSpeaker:       {slog.LevelWarn, "bgp speaker"},
	failover.EventRefused:       {slog.LevelError, "refused"},
	failover.EventHold:          {slog.LevelInfo, "waiting for bgp before preempting"},
	failover.EventInterval:      {slog.LevelWarn, "advertisement interval of the active router differs"},
	failover.EventLate:          {slog.LevelWarn, "this node was late; listening once more before a takeover"},
	failover.EventReconfigured:  {slog.LevelInfo, "configuration in force"},

	failover.EventTracker:        {slog.LevelWarn, "tracked"},
	failover.EventPriority:       {slog.LevelInfo, "effective priority"},
	failover.EventGroup:          {slog.LevelInfo, "sync group"},
	failover.EventObjectFailed:   {slog.LevelError, "route or rule not as it should be"},
	failover.EventObjectRestored: {slog.LevelWarn, "route or rule removed by somebody else, put back"},
	failover.EventWatch:          {slog.LevelWarn, "watched site"},
	failover.EventAuthority:      {slog.LevelWarn, "authority of this site"},
	failover.EventTerm:           {slog.LevelInfo, "term"},
	failover.EventDrain:          {slog.LevelWarn, "drain"},
	failover.EventHandover:       {slog.LevelInfo, "handover"},
	failover.EventTakeover:       {slog.LevelInfo, "takeover complete"},
	failover.EventDevice:         {slog.LevelError, "device or packet filter not as it should be"},
	failover.EventOrigin:         {slog.LevelInfo, "rpki validity of an own prefix"},
	failover.EventCache:          {slog.LevelWarn, "rpki cache"},
	failover.EventHeld:           {slog.LevelWarn, "max_changes"},
	failover.EventLeftover:       {slog.LevelError, "routes left in a gobgpd"},
	failover.EventClockSkew:      {slog.LevelWarn, "the clock of another router is about to be too far from ours"},
	failover.EventNamesakes:      {slog.LevelWarn, "several nodes have one router_id"},
	failover.EventStart:          {slog.LevelInfo, "started"},
	failover.EventStop:           {slog.LevelInfo, "agent stop"},
}

// What EventStop says.
const (
	stopBegun    = "begun"
	stopComplete = "complete"
)

// tell logs an event of the agent's own life, and enters it into the journal.
func (l *loop) tell(e failover.Event) { l.agent.note(e) }

// note is tell for any goroutine.
func (a *Agent) note(e failover.Event) {
	e.At = monotonic()
	logEvent(a.log, &e)
	a.journal.put([]failover.Event{e})
}

// started describes an agent that has started with cfg.
func (a *Agent) started(cfg *failover.Config) failover.Event {
	return failover.Event{
		Kind: failover.EventStart, To: cfg.Hash, Object: a.opts.File,
		Reason: fmt.Sprintf("version %s; virtual routers %d, speakers %d", a.opts.Version, len(cfg.Routers), len(cfg.Speakers)),
	}
}

// ended describes the end of an agent that has asked for it at begin (zero: nobody has), with an error or without.
func ended(begin time.Time, err error) failover.Event {
	e := failover.Event{Kind: failover.EventStop, To: stopComplete}
	if !begin.IsZero() {
		e.Took = time.Since(begin)
	}
	if err != nil {
		e.Reason = err.Error()
	}
	return e
}

// logEvent writes one event; attributes that do not apply are left out.
func logEvent(log *slog.Logger, e *failover.Event) {
	how, ok := eventLog[e.Kind]
	if !ok {
		panic(e.Kind)
	}
	switch {
	case e.Kind == failover.EventOrigin && e.To == bgp.Invalid.String():
		how.level = slog.LevelError
	case e.Kind == failover.EventOrigin && e.To != bgp.Valid.String():
		how.level = slog.LevelWarn
	case (e.Kind == failover.EventSpeaker || e.Kind == failover.EventCache) && e.To == "up":
		how.level = slog.LevelInfo
	case e.Kind == failover.EventLeftover && e.To != leftStays:
		how.level = slog.LevelWarn
	case e.Kind == failover.EventHold && e.To == "expired", e.Kind == failover.EventHandover && e.To == "failed":
		how.level = slog.LevelWarn
	case e.Kind == failover.EventTracker && e.To != "failed" && e.To != "unknown" && e.To != "warning", e.Kind == failover.EventDevice && e.Reason == "":
		how.level = slog.LevelInfo
	case e.Kind == failover.EventStop && e.To == stopComplete && e.Reason != "":
		how.level = slog.LevelError
	}
	attrs := make([]slog.Attr, 0, 8)
	add := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, value))
		}
	}
	if e.Router != "" {
		add("router", e.Router)
		if e.Key != (vrrp.Key{}) { // an anycast service has none
			add("vr", e.Key.String())
		}
	}
	add("group", e.Group)
	add("object", e.Object)
	add("speaker", e.Speaker)
	if e.Peer.IsValid() {
		add("peer", e.Peer.String())
	}
	if e.Address.Prefix.IsValid() {
		add("address", e.Address.String())
	}
	add("from", e.From)
	add("to", e.To)
	add("reason", e.Reason)
	for i := range e.Votes {
		add("vote "+e.Votes[i].Name, e.Votes[i].Says)
	}
	if v := e.Evidence; v != nil && v.Peer.IsValid() {
		attrs = append(attrs, slog.Int("heard_priority", int(v.Priority)), slog.Float64("heard_ms_ago", float64(v.Ago.Microseconds())/1000))
	}
	if e.Took > 0 {
		attrs = append(attrs, slog.Float64("took_ms", float64(e.Took.Microseconds())/1000))
	}
	log.LogAttrs(context.Background(), how.level, how.message, attrs...)
}
