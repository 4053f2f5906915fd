package integration

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"failoverd/vrrp/wire"
)

// neighbor is another router on a side's first LAN that says what it is told to, every 0.1 s, whatever it hears.
type neighbor struct {
	mu     sync.Mutex
	speaks map[uint8]uint8 // priority by VRID
}

func (s *side) neighbor() *neighbor {
	n := &neighbor{speaks: map[uint8]uint8{}}
	stop := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		for {
			n.mu.Lock()
			for vrid, priority := range n.speaks {
				s.hear(vrid, priority)
			}
			n.mu.Unlock()
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	})
	s.t.Cleanup(func() {
		close(stop)
		done.Wait()
	})
	return n
}

// say makes a neighbor speak for a VRID; priority 0: it is silent from now on.
func (n *neighbor) say(vrid, priority uint8) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if priority == 0 {
		delete(n.speaks, vrid)
		return
	}
	n.speaks[vrid] = priority
}

// hear lets a VRID hear a neighbor of a priority once.
func (s *side) hear(vrid, priority uint8) {
	ad := wire.Advertisement{
		Version: wire.V3, VRID: vrid, Priority: priority, Interval: 20, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{203, 0, 113, vrid})},
	}
	b, err := ad.Append(nil, netip.MustParseAddr("192.0.2.3"), wire.IPv4.Group(), wire.ChecksumPseudo)
	must(s.t, err)
	inject(s.t, s.c, 255, b)
}

// states returns what a FIFO said of an instance, as STATE STATE ... RIVAL is a router of less priority that it heard; how
// often it is told is not what keepalived does.
func (r *fifoReader) states(name string) string {
	var list []string
	for l := range strings.Lines(r.String()) {
		if f := strings.Fields(l); len(f) == 4 && f[1] == `"`+name+`"` {
			list = append(list, strings.Replace(f[2], "MASTER_RX_LOWER_PRI", "RIVAL", 1))
		}
	}
	return strings.Join(slices.Compact(list), " ")
}

// lives asserts that both programs went through the same states, which are these.
func (w *twins) lives(fifos map[*side]*fifoReader, name, want string) {
	w.t.Helper()
	w.each(func(s *side) {
		if got := fifos[s].states(name); got != want {
			w.t.Errorf("%s of %s was %s, want %s", name, s.name, got, want)
		}
	})
}

// TestPreemption: preempt_delay and nopreempt beside a neighbor, with checks that fail and recover.
func TestPreemption(t *testing.T) {
	t.Parallel()
	w := newTwins(t, 1)
	text := lines("global_defs {", "    script_user root", "    vrrp_notify_fifo DIR/fifo", "}") + vrrpScript("chk", "good") +
		solo(1, 100, "preempt_delay 2") + solo(2, 100, "nopreempt") +
		solo(3, 100, "nopreempt", "track_script {", "    chk weight -60", "}") +
		solo(4, 100, "track_script {", "    chk weight -60", "}") +
		solo(5, 100, "nopreempt", "track_script {", "    chk", "}")
	fifos, neighbors := map[*side]*fifoReader{}, map[*side]*neighbor{}
	w.each(func(s *side) {
		s.put("good", "")
		fifos[s], neighbors[s] = s.reader("fifo"), s.neighbor()
	})
	say := func(priority uint8, vrids ...uint8) {
		w.each(func(s *side) {
			for _, v := range vrids {
				neighbors[s].say(v, priority)
			}
		})
	}
	const down = 3*200*time.Millisecond + (256-100)*200*time.Millisecond/256
	say(50, 1, 2)
	begin := time.Now()
	w.start(text)
	w.within("preempt_delay", 1, 100, begin, 2*time.Second, 2*time.Second+2*down)
	for _, v := range []uint8{3, 4, 5} {
		w.within("who has no neighbor", v, 100, begin, down-20*time.Millisecond, time.Second+down)
	}
	say(50, 3, 4, 5)
	w.each(func(s *side) {
		for _, v := range []string{"V3", "V4", "V5"} {
			waitFor(t, 2*time.Second, v+" of "+s.name+" to hear its neighbor", func() bool { return strings.HasSuffix(fifos[s].states(v), " RIVAL") })
		}
	})
	w.each(func(s *side) { s.remove("good") })
	w.each(func(s *side) {
		for _, v := range []string{"V3", "V4"} {
			waitFor(t, 4*time.Second, v+" of "+s.name+" to yield", func() bool { return strings.HasSuffix(fifos[s].states(v), " BACKUP") })
		}
		waitFor(t, 4*time.Second, "V5 of "+s.name+" to fail", func() bool { return strings.HasSuffix(fifos[s].states("V5"), " FAULT") })
	})
	recovered := time.Now()
	w.each(func(s *side) { s.put("good", "") })
	w.within("preemption after the check has recovered", 4, 100, recovered, 0, time.Second+2*down)
	time.Sleep(time.Until(recovered.Add(time.Second + 2*down))) // time enough for the others to do it, too
	w.each(func(s *side) {
		for _, v := range []uint8{2, 3, 5} {
			if at := s.firstAt(v, 100, recovered); !at.IsZero() {
				t.Errorf("%s: VRID %d preempts although it must not", s.name, v)
			}
		}
	})
	silent := time.Now()
	say(0, 2, 3, 5)
	for _, v := range []uint8{2, 3, 5} {
		w.within("the neighbor is gone", v, 100, silent, down-200*time.Millisecond, down+slack)
	}
	for name, want := range map[string]string{
		"V1": "BACKUP MASTER RIVAL", "V2": "BACKUP MASTER", "V3": "BACKUP MASTER RIVAL BACKUP MASTER",
		"V4": "BACKUP MASTER RIVAL BACKUP MASTER RIVAL", "V5": "BACKUP MASTER RIVAL FAULT BACKUP MASTER",
	} {
		w.lives(fifos, name, want)
	}
}

// TestInterfaces: startup delay; a cable is pulled, an interface is deleted and made again, the source address goes and comes
// back, and so does the address that mcast_src_ip names, which keepalived does not look at.
func TestInterfaces(t *testing.T) {
	t.Parallel()
	w := newTwins(t, 4)
	on := func(vrid int, dev string, extra ...string) string {
		return strings.ReplaceAll(solo(vrid, 100, extra...), "eth0", dev)
	}
	text := lines("global_defs {", "    dynamic_interfaces", "    vrrp_notify_fifo DIR/fifo", "    vrrp_startup_delay 1", "}") +
		on(1, "eth1", "dont_track_primary") + on(2, "eth1") + on(3, "eth2") + on(4, "eth3") + on(5, "eth3", "mcast_src_ip 198.18.3.1") + solo(6, 100)
	all := []string{"V1", "V2", "V3", "V4", "V5", "V6"}
	fifos := map[*side]*fifoReader{}
	w.each(func(s *side) { fifos[s] = s.reader("fifo") })
	const down = 3*200*time.Millisecond + (256-100)*200*time.Millisecond/256
	begin := time.Now()
	w.start(text)
	told := func(state string, times int, names ...string) {
		t.Helper()
		w.each(func(s *side) {
			for _, v := range names {
				fifos[s].told(t, fmt.Sprintf("INSTANCE %q %s 100", v, state), times)
			}
		})
	}
	told("MASTER", 1, all...)
	w.within("startup delay", 6, 100, begin, time.Second+down-20*time.Millisecond, time.Second+down)
	w.each(func(s *side) {
		must(t, s.ports[1].Unplug())
		must(t, s.node.DeleteLink("eth2"))
		must(t, s.node.DeleteAddress("eth3", "198.18.3.1/24"))
	})
	told("FAULT", 1, "V2", "V3", "V4")
	w.each(func(s *side) {
		must(t, s.ports[1].Replug())
		s.plug("eth2", "198.18.2.1/24")
		must(t, s.node.AddAddress("eth3", "198.18.3.1/24"))
	})
	told("MASTER", 2, "V2", "V3", "V4")
	time.Sleep(slack)
	for _, v := range []string{"V1", "V6"} {
		w.lives(fifos, v, "BACKUP MASTER")
	}
	for _, v := range []string{"V2", "V3", "V4"} {
		w.lives(fifos, v, "BACKUP MASTER FAULT BACKUP MASTER")
	}
	if got := fifos[w.sides[0]].states("V5"); got != "BACKUP MASTER FAULT BACKUP MASTER" {
		t.Errorf("V5 was %s", got)
	}
}
