package failovertest

import (
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"failoverd/vrrp"
)

// lans are the interfaces of every host of a groupWorld.
var lans = []string{"eth0", "eth1"}

// groupProfile is what the hosts have in common, drawn from the seed.
type groupProfile struct {
	members    []string // NAME KEY
	interval   time.Duration
	priorities [][]int // by host and member
	preempt    []bool  // by member
	delay      time.Duration
	crossed    bool // the host with the lower address on one LAN has the higher one on the other
}

// groupVariant is what a reload changes.
type groupVariant struct {
	priority int  // added to all
	without  bool // the last member is not in the group
	shuffled bool // the members are in another order
}

func drawGroupProfile(r *rand.Rand) groupProfile {
	p := groupProfile{
		members:  []string{"A eth0/4/51", "B eth1/4/52", "C eth0/6/53"}[:2+r.IntN(2)],
		interval: Choose(r, time.Second, 300*time.Millisecond, 100*time.Millisecond),
		delay:    Choose(r, 0, 0, 0, 2*time.Second), crossed: r.IntN(2) == 0,
	}
	hosts := Choose(r, 2, 2, 3)
	kind, nopreempt := r.IntN(4), r.IntN(4)
	for host := range hosts {
		var list []int
		for m := range p.members {
			switch kind {
			case 0:
				list = append(list, 100) // all are equal
			case 1:
				list = append(list, 100+50*((host+m)%hosts)) // each host is better for another member
			case 2:
				list = append(list, 1+r.IntN(254))
			default:
				list = append(list, 100+50*host)
			}
		}
		p.priorities = append(p.priorities, list)
	}
	for m := range p.members {
		p.preempt = append(p.preempt, nopreempt > 0 || m > r.IntN(2))
	}
	return p
}

// better returns the host that has to be Active when all is well: the one with the higher priority for each member, if
// all members preempt; -1: either may be.
func (p *groupProfile) better() int {
	for host := range p.priorities {
		dominates := true
		for other := range p.priorities {
			for m := range p.members {
				dominates = dominates && (other == host || p.preempt[m] && p.priorities[host][m] > p.priorities[other][m])
			}
		}
		if dominates {
			return host
		}
	}
	return -1
}

// config returns the configuration of a host.
func (w *groupWorld) config(host int, v groupVariant) string {
	var b strings.Builder
	var names []string
	for m, member := range w.members {
		name, key, _ := strings.Cut(member, " ")
		names = append(names, name)
		priority := min(254, w.priorities[host][m]+v.priority)
		fmt.Fprintf(&b, "router %s %s priority %d interval %v", name, key, priority, w.interval)
		if !w.preempt[m] {
			b.WriteString(" nopreempt")
		} else if w.delay > 0 && m == 0 {
			fmt.Fprintf(&b, " preempt_delay %v", w.delay)
		}
		dev := key[:4]
		if strings.Contains(key, "/6/") {
			fmt.Fprintf(&b, "\n  address fe80::5%d/64 %s\n", m, dev)
		} else {
			fmt.Fprintf(&b, "\n  address 192.0.2.%d/24 %s\n", 100+m, dev)
		}
		if m == 0 {
			b.WriteString("  track script chk\n")
		}
	}
	if v.without {
		names = names[:len(names)-1]
	}
	if v.shuffled {
		slices.Reverse(names)
	}
	if w.mutation != GroupsForgotten {
		fmt.Fprintf(&b, "group G %s\n", strings.Join(names, " "))
	}
	return b.String()
}

// longest is how long it takes, when all is well, until a group that listens takes the role, or finds who has it: an
// Active_Down_Interval, once more if the node was late, the patience of one that was demoted, and a preempt_delay that
// begins only then.
func (w *groupWorld) longest() time.Duration {
	down := 4 * w.interval
	return 2*down + 4*w.interval + w.delay + down + 100*time.Millisecond
}

// SimulateGroups plays one course of faults on two or three hosts with a sync group each, drawn from the seed, and returns the
// first rule that was broken. The rules:
//
//	SPLIT   all members of a host's group are Active, or none is, but for Skew_Time, when one has yielded and was released
//	        at once, and for members that a reload brought
//	FAULT   no member is Active or Backup while another one is in FAULT
//	SPIN    nothing is due at once after a batch
//	STUCK   some time after the last fault one host is Active for all members and the others Backup for all, the better
//	        one if there is one, and it stays like this
//	L1, L2  then, if that host's agent crashes or stops, another one takes all over, of two within the protocol's time
func SimulateGroups(seed uint64, m GroupMutation, trace io.Writer) error {
	r := rand.New(rand.NewPCG(seed, 0x6109))
	w := &groupWorld{groupProfile: drawGroupProfile(r), rand: r, mutation: m, trace: trace}
	w.cuts, w.carried = make(map[lanPath]int), make(map[lanPath]vrrp.Instant)
	for i := range w.priorities {
		w.hosts = append(w.hosts, &groupHost{w: w, index: i, offset: w.upTo(1e15), down: make(map[string]int), wakeAt: vrrp.Never})
		w.log(w.hosts[i], "configuration:\n%s", w.config(i, groupVariant{}))
	}
	for _, h := range w.hosts {
		w.After(w.upTo(2*w.interval), h.start)
	}
	w.run(2 * w.interval)
	for range 1 + r.IntN(12) {
		w.fault()
		w.run(w.pause())
	}
	w.heal()
	for _, stop := range []bool{false, true} {
		w.settle()
		w.takeover(stop)
	}
	if w.broken != "" {
		return fmt.Errorf("seed %d: %s", seed, w.broken)
	}
	return nil
}

// pause draws how long it takes until the next fault.
func (w *groupWorld) pause() time.Duration {
	return Choose(w.rand, w.upTo(5*time.Millisecond), w.upTo(w.interval), w.upTo(5*w.interval), w.upTo(2*w.longest()))
}

// fault lets something go wrong, and be all right again later.
func (w *groupWorld) fault() {
	h, lan := w.hosts[w.rand.IntN(len(w.hosts))], lans[w.rand.IntN(2)]
	lasts := w.pause()
	switch w.rand.IntN(9) {
	case 0:
		h.setLink(lan, 1)
		w.After(lasts, func() { h.setLink(lan, -1) })
	case 1:
		h.setCheck(1)
		w.After(lasts, func() { h.setCheck(-1) })
	case 2, 3: // one way, or all of them
		w.cut(lan, h.index, lasts)
		if w.rand.IntN(2) == 0 {
			for from := range w.hosts {
				w.cut(lan, from, lasts)
			}
		}
	case 4:
		h.crash()
		w.After(lasts, h.start)
	case 5:
		h.stop()
		w.After(lasts, h.start)
	case 6:
		h.freeze()
		w.After(lasts, h.thaw)
	case 7:
		w.loss = 0.5
		w.After(lasts, func() { w.loss = 0 })
	case 8:
		h.reload(groupVariant{priority: Choose(w.rand, 0, 30), without: w.rand.IntN(2) == 0, shuffled: w.rand.IntN(2) == 0})
		w.After(lasts, func() { h.reload(groupVariant{}) })
	}
}

func (w *groupWorld) cut(lan string, from int, lasts time.Duration) {
	p := lanPath{lan, from}
	w.log(w.hosts[from], "nothing from it gets through on %s", lan)
	w.cuts[p]++
	w.After(lasts, func() {
		w.cuts[p]--
		w.log(w.hosts[from], "%s is cut for %d reasons", lan, w.cuts[p])
	})
}

// heal waits for all faults to end, and has both run with the configuration of the start.
func (w *groupWorld) heal() {
	w.run(2*w.longest() + 5*w.interval)
	for _, h := range w.hosts {
		h.thaw()
		h.start()
		h.reload(groupVariant{})
	}
	w.log(nil, "everything is healed")
}

// settle waits until the roles have to be settled, and demands that they are and stay so.
func (w *groupWorld) settle() {
	w.run(2 * w.longest())
	active := w.elected()
	w.run(w.longest())
	if active != w.elected() {
		w.fail("STUCK", "the role still moves")
	}
}

// elected returns the host that is Active; everybody else has to be Backup.
func (w *groupWorld) elected() (active *groupHost) {
	for _, h := range w.hosts {
		switch word := h.role(); {
		case word == "MASTER" && active != nil:
			w.fail("STUCK", "both are Active")
		case word == "MASTER":
			active = h
		case word != "BACKUP":
			w.fail("STUCK", "the members of %c are %s", 'a'+h.index, word)
		}
	}
	switch best := w.better(); {
	case active == nil:
		w.fail("STUCK", "nobody is Active")
	case best >= 0 && w.hosts[best] != active:
		w.fail("STUCK", "%c is not Active, although it is better", 'a'+best)
	}
	return active
}

// role returns the one role of all members, as they say; otherwise it returns all of them.
func (h *groupHost) role() string {
	if h.core == nil {
		return "absent"
	}
	var words []string
	s := h.core.Snapshot(h.local(), wall)
	for i := range s.Routers {
		r := &s.Routers[i]
		if told := h.words[r.Name]; told != r.State {
			h.w.fail("TOLD", "%s of %c is %s, and has told that it is %s", r.Name, 'a'+h.index, r.State, told)
		}
		if !slices.Contains(words, r.State) {
			words = append(words, r.State)
		}
	}
	for i := range s.Groups {
		if !slices.Contains(words, s.Groups[i].State) {
			words = append(words, "group "+s.Groups[i].State)
		}
	}
	return strings.Join(words, "/")
}

// inStep looks at the members of a host after a batch.
func (h *groupHost) inStep() {
	s := h.core.Snapshot(h.local(), wall)
	if h.alone {
		s.Routers = s.Routers[:len(s.Routers)-1]
	}
	active, fault := 0, 0
	for i := range s.Routers {
		switch s.Routers[i].State {
		case "MASTER":
			active++
		case "FAULT":
			fault++
		}
	}
	if h.w.now < h.excused || h.w.mutation != GroupsForgotten && len(s.Groups) == 0 {
		h.split = vrrp.Never
		return
	}
	h.split = began(h.split, active > 0 && active < len(s.Routers), h.w.now)
	h.unsure = h.split != vrrp.Never
	if since, life, bound := h.split, h.life, h.w.interval+2*time.Millisecond; since == h.w.now {
		h.w.After(bound, func() {
			if h.split == since && h.life == life && h.core != nil && !h.frozen {
				h.w.fail("SPLIT", "%d of %d members of %c have been Active alone for %v", active, len(s.Routers), 'a'+h.index, bound)
			}
		})
	}
	if fault > 0 && fault < len(s.Routers) {
		h.w.fail("FAULT", "%d of %d members of %c are in FAULT", fault, len(s.Routers), 'a'+h.index)
	}
}

// takeover takes the Active host away: the other one has to take the role in time.
func (w *groupWorld) takeover(stop bool) {
	active := w.elected()
	if active == nil || w.broken != "" {
		return
	}
	rule, lowest := "L1", 255
	for host, priorities := range w.priorities {
		if host != active.index {
			lowest = min(lowest, slices.Min(priorities))
		}
	}
	bound := skew(uint8(lowest), w.interval) + 5*time.Millisecond
	w.run(w.upTo(w.interval))
	if stop {
		rule = "L2"
		active.stop()
	} else {
		bound += 3 * w.interval
		active.crash()
	}
	if len(w.hosts) > 2 {
		bound = 2 * w.longest() // the others may have to find out who of them it is
	}
	w.run(bound)
	masters, words := 0, []string{}
	for _, h := range w.hosts {
		if h != active {
			words = append(words, h.role())
		}
	}
	for _, word := range words {
		if word == "MASTER" {
			masters++
		}
	}
	if masters != 1 {
		w.fail(rule, "the members of the others are %s after %v", strings.Join(words, ", "), bound)
	}
	active.start()
}
