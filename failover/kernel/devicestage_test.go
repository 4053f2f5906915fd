package kernel

import (
	"strings"
	"testing"
	"time"
)

// table2 returns the table of a process that took the place of another one; empty: there is none.
func (h labHost) table2() string {
	out, err := h.try("nft list table inet " + filterTable2)
	if err != nil {
		return ""
	}
	return out
}

// die ends a process as the kernel does: its table goes with its socket, and its interfaces stay.
func (r *deviceRun) die() {
	r.devices.Stage()
	r.devices.box.wake()
	within(r.t, 5*time.Second, "the worker to let go", func() bool { return len(r.devices.box.signal) == 0 })
	r.stop()
}

// TestDevicesSucceed: a process that is to take the place of another one finds its interfaces as they are, and has a packet filter
// of its own beside that one's. If it ends before its turn, nothing has changed; if it takes over, nobody is let through for a
// moment, the interfaces stay the same, and they are its own from then on.
func TestDevicesSucceed(t *testing.T) {
	t.Parallel()
	l := newDeviceLab(t)
	first := l.a.start()
	first.sets(both, refused...)
	indexes := [2]string{l.a.linkIndex("vrrp.51"), l.a.linkIndex("vrrp.52")}
	same := func(when string) {
		t.Helper()
		if got := [2]string{l.a.linkIndex("vrrp.51"), l.a.linkIndex("vrrp.52")}; got != indexes {
			t.Errorf("%s: the interfaces are others", when)
		}
	}

	second := l.a.startWith((*Devices).Stage)
	second.sets(both, refused...)
	if l.a.ruleset() == "" || !strings.Contains(l.a.table2(), "2001:db8::100") {
		t.Errorf("the tables: %s\n%s", l.a.ruleset(), l.a.table2())
	}
	second.stop()
	same("after the end of one that did not take over")
	if l.a.ruleset() == "" || l.a.table2() != "" {
		t.Errorf("the tables then: %s\n%s", l.a.ruleset(), l.a.table2())
	}

	third := l.a.startWith((*Devices).Stage)
	third.sets(both, refused...)
	third.devices.TakeOver()
	within(t, 5*time.Second, "IPv6 that arrives for a Backup to be dropped by the new table", func() bool {
		_, after, _ := strings.Cut(l.a.table2(), "set silent")
		set, _, _ := strings.Cut(after, "chain")
		return strings.Contains(set, "vrrp.52")
	})
	first.die()
	same("after the takeover")
	if l.a.ruleset() != "" || l.a.table2() == "" {
		t.Errorf("the tables after the takeover: %s\n%s", l.a.ruleset(), l.a.table2())
	}
	l.a.run("ip link del vrrp.51")
	within(t, 5*time.Second, "an interface that somebody has deleted to be back", func() bool { return l.a.hasLink("vrrp.51") })

	// The next one has the first name again, and a process that starts leaves nothing of the second one behind.
	fourth := l.a.startWith((*Devices).Stage)
	fourth.sets(both, refused...)
	if l.a.ruleset() == "" || l.a.table2() == "" {
		t.Errorf("the tables during the second upgrade: %s\n%s", l.a.ruleset(), l.a.table2())
	}
	fourth.devices.TakeOver()
	third.die()
	fourth.stop()
	if l.a.hasLink("vrrp.51") || l.a.hasLink("vrrp.52") || l.a.ruleset() != "" || l.a.table2() != "" {
		t.Error("something is left behind")
	}
	l.a.run("nft add table inet " + filterTable2)
	fifth := l.a.start()
	fifth.sets(both, refused...)
	if l.a.table2() != "" {
		t.Error("the table of a dead process is left")
	}
}

// TestStagedDevicesMissing: what the process before does not have is said, and not made.
func TestStagedDevicesMissing(t *testing.T) {
	t.Parallel()
	l := newDeviceLab(t)
	r := l.a.startWith((*Devices).Stage)
	if rep := r.set(both); rep.Failed["vrrp.51"] == "" || rep.Failed["vrrp.52"] == "" {
		t.Errorf("report %+v", rep)
	}
	if l.a.hasLink("vrrp.51") {
		t.Error("an interface was made")
	}
	r.devices.TakeOver()
	within(t, 5*time.Second, "the interfaces to be made", func() bool { rep, _ := r.last(); return len(rep.Failed) == 0 && l.a.hasLink("vrrp.51") })
}
