package failovertest

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"failoverd/failover"
	"failoverd/failover/record"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// groupWorld is two or three hosts on two LANs, each host with a sync group that has a member on each LAN or two. It is made to
// find courses of events after which a group is stuck, or has split roles; World is for everything else.
type groupWorld struct {
	groupProfile
	Queue
	rand     *rand.Rand
	mutation GroupMutation
	trace    io.Writer
	hosts    []*groupHost
	cuts     map[lanPath]int          // how many faults cut it
	carried  map[lanPath]vrrp.Instant // when the last packet arrives
	loss     float64
	broken   string
}

// lanPath is the way from one host to the other one on a LAN.
type lanPath struct {
	lan  string
	from int
}

// groupHost is a host with its agent.
type groupHost struct {
	w      *groupWorld
	index  int
	core   *record.Core // nil: no agent runs
	offset time.Duration
	fx     failover.Effects
	inbox  []any // packet or failover.Input
	wakeAt vrrp.Instant
	told   vrrp.Instant // when the last input arrives
	life   int          // how many agents there were: what is meant for a dead one is lost
	frozen bool
	down   map[string]int // how many faults take the interface down
	failed int            // how many faults make the check fail
	// excused until then: a reload may have given the group another member, which has to listen first.
	excused vrrp.Instant
	alone   bool              // the last member is not in the group
	unsure  bool              // something has happened since the members were looked at, or they were not in step then
	split   vrrp.Instant      // since when some members are Active, and others are not; Never: they are in step
	words   map[string]string // states as told by events
}

// GroupMutation is a rule broken on purpose.
type GroupMutation uint8

// The mutations.
const (
	GroupsFaithful  GroupMutation = iota
	GroupsForgotten               // the agents know nothing of the group
	ReleasesLost                  // no advertisement of priority 0 is sent
	RecoveryLost                  // nobody tells that the check is all right again

	numGroupMutations
)

// String returns the mutation in words.
func (m GroupMutation) String() string {
	return [...]string{"faithful", "groups forgotten", "releases lost", "recovery lost"}[m]
}

// GroupMutations returns every mutation but GroupsFaithful.
func GroupMutations() (all []GroupMutation) {
	for m := GroupsFaithful + 1; m < numGroupMutations; m++ {
		all = append(all, m)
	}
	return all
}

func (w *groupWorld) log(h *groupHost, format string, args ...any) {
	if w.trace == nil {
		return
	}
	name := "-"
	if h != nil {
		name = string(rune('a' + h.index))
	}
	fmt.Fprintf(w.trace, "%12s %s: %s\n", FormatInstant(w.now), name, fmt.Sprintf(format, args...))
}

func (w *groupWorld) fail(rule, format string, args ...any) {
	if w.broken == "" {
		w.broken = fmt.Sprintf("%s at %s: %s", rule, FormatInstant(w.now), fmt.Sprintf(format, args...))
		w.log(nil, "BROKEN %s", w.broken)
	}
}

func (w *groupWorld) upTo(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(w.rand.Int64N(int64(d)))
}

// run lets time pass. It ends early when a rule is broken.
func (w *groupWorld) run(d time.Duration) {
	until := w.now.Add(d)
	for w.broken == "" {
		do, ok := w.Next(until)
		if !ok {
			return
		}
		do()
	}
}

func (h *groupHost) local() vrrp.Instant { return h.w.now.Add(h.offset) }

// start starts an agent, which is told of everything in any order.
func (h *groupHost) start() {
	if h.core != nil {
		return
	}
	w := h.w
	w.log(h, "agent starts")
	h.life++
	h.inbox, h.frozen, h.wakeAt, h.words = nil, false, vrrp.Never, make(map[string]string)
	var err error
	if h.core, err = NewCore(w.trace, MustParseConfig(w.config(h.index, groupVariant{})), h.local()); err != nil {
		panic(err)
	}
	h.excused, h.alone, h.split, h.unsure = w.now, false, vrrp.Never, true
	news := []failover.Input{}
	for _, lan := range lans {
		news = append(news, failover.InterfaceChanged{Interface: w.iface(h, lan)})
		for _, f := range []wire.Family{wire.IPv4, wire.IPv6} {
			news = append(news, failover.LinkChanged{Link: failover.LinkID{Interface: lan, Family: f}, Open: true})
		}
	}
	news = append(news, h.check())
	w.rand.Shuffle(len(news), func(i, j int) { news[i], news[j] = news[j], news[i] })
	for _, in := range news {
		h.tell(in)
	}
}

// crash ends the agent without a word.
func (h *groupHost) crash() {
	if h.core != nil {
		h.w.log(h, "agent crashes")
		h.core = nil
	}
}

// stop ends it in order.
func (h *groupHost) stop() {
	if h.core == nil {
		return
	}
	h.w.log(h, "agent stops")
	h.thaw()
	h.core.Step(h.local(), failover.Stop{Reason: "stop"}, &h.fx)
	h.batch()
	h.core = nil
}

func (h *groupHost) freeze() {
	if h.core != nil {
		h.w.log(h, "agent freezes")
		h.frozen, h.wakeAt = true, vrrp.Never
	}
}

func (h *groupHost) thaw() {
	if h.core != nil && h.frozen {
		h.w.log(h, "agent thaws")
		h.frozen = false
		h.arm()
	}
}

func (h *groupHost) reload(v groupVariant) {
	if h.core == nil {
		return
	}
	h.w.log(h, "reloads %+v", v)
	h.excused, h.alone = h.w.now.Add(h.w.longest()), v.without
	h.tell(failover.Reconfigured{Config: MustParseConfig(h.w.config(h.index, v))})
}

// check is what the agent is told of its check.
func (h *groupHost) check() failover.Input {
	rep := failover.TrackerReport{Tracker: failover.Tracker{Kind: failover.TrackScript, Name: "chk"}, OK: h.failed == 0}
	if !rep.OK {
		rep.Reason = "exit status 1"
	}
	return failover.TrackerReported{Report: rep}
}

// tell has an input arrive soon.
func (h *groupHost) tell(in any) {
	life := h.life
	h.told = max(h.told, h.w.now.Add(h.w.upTo(loopDelay))) // nothing overtakes anything
	h.w.After(h.told.Sub(h.w.now), func() {
		if h.core == nil || h.life != life {
			return
		}
		if _, packet := in.(packet); packet && len(h.inbox) >= inboxLimit {
			return
		}
		h.inbox = append(h.inbox, in)
		h.wake(0)
	})
}

// wake has the loop run.
func (h *groupHost) wake(d time.Duration) {
	if h.frozen {
		return
	}
	due, life := h.w.now.Add(d), h.life
	if h.wakeAt <= due {
		return
	}
	h.wakeAt = due
	h.w.After(d, func() {
		if h.life == life && h.core != nil && !h.frozen && h.wakeAt == due {
			h.loop()
		}
	})
}

// loop is a batch: inputs, then timers.
func (h *groupHost) loop() {
	h.wakeAt = vrrp.Never
	inbox := h.inbox
	h.inbox = nil
	for _, in := range inbox {
		switch in := in.(type) {
		case packet:
			h.core.Receive(h.local(), in.link, in.p, &h.fx)
		case failover.Input:
			h.core.Step(h.local(), in, &h.fx)
		}
	}
	if h.core.Deadline() <= h.local() {
		h.core.Expire(h.local(), &h.fx)
	}
	h.batch()
	h.arm()
}

// arm has the loop run when something is due, or waits.
func (h *groupHost) arm() {
	if len(h.inbox) > 0 {
		h.wake(0)
	} else if d := h.core.Deadline(); d != vrrp.Never {
		h.wake(max(0, d.Sub(h.local())) + h.w.upTo(loopDelay))
	}
}

// batch ends a batch and carries its effects out.
func (h *groupHost) batch() {
	w, fx := h.w, &h.fx
	h.core.Flush(h.local(), fx)
	if w.trace != nil {
		for _, line := range Describe(fx) {
			w.log(h, "%s", line)
		}
	}
	h.unsure = h.unsure || len(fx.Events) > 0
	for i := range fx.Events {
		if e := &fx.Events[i]; e.Kind == failover.EventTransition {
			h.words[e.Router] = e.To
		}
	}
	for i := range fx.Adverts {
		w.send(h, &fx.Adverts[i])
	}
	if d := fx.Addresses; d != nil {
		rep := failover.AddressReport{Generation: d.Generation}
		for i := range d.Addresses {
			rep.Present = append(rep.Present, d.Addresses[i].Key())
		}
		h.tell(failover.AddressesReported{Report: rep})
	}
	if h.core.Deadline() <= h.local() {
		w.fail("SPIN", "more is due at once")
	}
	fx.Reset()
	if h.unsure {
		h.inStep()
	}
}

// send puts a packet on the LAN that it is for.
func (w *groupWorld) send(from *groupHost, a *failover.Advert) {
	lan := a.Link.Interface
	if from.down[lan] > 0 || w.cuts[lanPath{lan, from.index}] > 0 || w.rand.Float64() < w.loss {
		return
	}
	hdr, payload := wire.Header{Src: a.Src, Dst: a.Dst, TTL: a.TTL}, slices.Clone(a.Payload)
	if w.mutation == ReleasesLost && payload[2] == wire.PriorityRelease {
		return
	}
	link := a.Link
	for _, to := range w.hosts {
		if to == from {
			continue
		}
		path := lanPath{lan, from.index}
		w.carried[path] = max(w.carried[path], w.now.Add(50*time.Microsecond+w.upTo(900*time.Microsecond)))
		w.After(w.carried[path].Sub(w.now), func() {
			var p wire.Packet
			if to.down[lan] == 0 && wire.Parse(payload, hdr, &p) == wire.Accepted {
				to.tell(packet{link: link, p: &p})
			}
		})
	}
}

// iface is what the kernel of a host says of an interface.
func (w *groupWorld) iface(h *groupHost, lan string) failover.Interface {
	i := failover.Interface{Name: lan, Index: 2 + slices.Index(lans, lan), Up: h.down[lan] == 0, MTU: 1500}
	last := h.index + 1
	if w.crossed && lan == lans[1] {
		last = len(w.hosts) - h.index
	}
	i.Addresses = []netip.Prefix{
		netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, byte(2 + slices.Index(lans, lan)), byte(last)}), 24),
		netip.MustParsePrefix(fmt.Sprintf("fe80::%d/64", last)),
	}
	return i
}

// setLink takes an interface down (+1), or lets it up again (-1).
func (h *groupHost) setLink(lan string, by int) {
	h.down[lan] += by
	h.w.log(h, "%s is down for %d reasons", lan, h.down[lan])
	if h.core != nil {
		h.tell(failover.InterfaceChanged{Interface: h.w.iface(h, lan)})
	}
}

// setCheck makes the check fail (+1), or lets it succeed again (-1).
func (h *groupHost) setCheck(by int) {
	h.failed += by
	h.w.log(h, "the check fails for %d reasons", h.failed)
	if h.core != nil && (by > 0 || h.w.mutation != RecoveryLost) {
		h.tell(h.check())
	}
}
