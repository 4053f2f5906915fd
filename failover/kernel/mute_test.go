package kernel

import (
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/failover"
)

// muteLab is a subscription beside a host that writes.
type muteLab struct {
	*realWorld
	t    *testing.T
	host host
	feed feed
	op   op
}

func newMuteLab(t *testing.T, prefix string) *muteLab {
	t.Helper()
	w := newRealWorld(t)
	w.addLink("eth0")
	l := &muteLab{realWorld: w, t: t, host: w.open(t)}
	t.Cleanup(func() { w.check(l.host.close()) })
	var err error
	l.feed, err = l.host.subscribe()
	w.check(err)
	t.Cleanup(l.feed.close)
	l.op = op{index: w.link("eth0").Attrs().Index, addr: address(prefix, "eth0", 3*time.Second), valid: 3}
	return l
}

// do carries out an op of a kind on the address.
func (l *muteLab) do(kind opKind) {
	l.t.Helper()
	o := l.op
	o.kind = kind
	for _, err := range l.host.write([]op{o}) {
		l.check(err)
	}
}

// age lets the stamp of a change differ from that of the making: its unit is 10 ms.
func (l *muteLab) age() { time.Sleep(30 * time.Millisecond) }

// told returns what is told about the address until a marker that is written after it.
func (l *muteLab) told() (kinds []changeKind) {
	l.t.Helper()
	mark := l.op
	mark.addr = address("198.51.100.1/32", "eth0", failover.NoLease)
	mark.valid = forever
	for _, mark.kind = range []opKind{opAdd, opDelete} {
		for _, err := range l.host.write([]op{mark}) {
			l.check(err)
		}
	}
	done := false
	within(l.t, soon, "the marker", func() bool {
		changes, lost := l.feed.take()
		if lost {
			l.t.Fatal("notifications lost")
		}
		for _, c := range changes {
			done = done || c.kind == addressGone && c.entry.prefix == mark.addr.Prefix
			if (c.kind == addressChanged || c.kind == addressGone) && c.entry.prefix == l.op.addr.Prefix {
				kinds = append(kinds, c.kind)
			}
		}
		return done
	})
	return kinds
}

// arrive waits for the address to be told of: IPv6 does that from a work queue.
func (l *muteLab) arrive() {
	l.t.Helper()
	seen := false
	within(l.t, soon, "the address", func() bool {
		changes, _ := l.feed.take()
		for i := range changes {
			seen = seen || changes[i].kind == addressChanged && changes[i].entry.prefix == l.op.addr.Prefix
		}
		return seen
	})
}

// A renewed lease wakes nobody; whatever else happens to an address is told.
func TestRenewalsAreMuted(t *testing.T) {
	for _, prefix := range []string{"192.0.2.10/24", "2001:db8::10/64"} {
		t.Run(prefix, func(t *testing.T) {
			t.Parallel()
			l := newMuteLab(t, prefix)
			if !l.host.tagged() {
				t.Skip("SKIPPED, NOT PASSED: the kernel keeps no IFA_PROTO")
			}
			expect := func(what string, want ...changeKind) {
				t.Helper()
				if got := l.told(); !slices.Equal(got, want) {
					t.Errorf("%s: told %v, want %v", what, got, want)
				}
			}
			l.do(opAdd)
			l.arrive()
			l.age()
			l.do(opRenew)
			l.do(opRenew)
			expect("renewed twice")
			l.do(opDelete)
			expect("deleted", addressGone)
			l.do(opRenew) // by somebody who has not heard of that yet
			l.arrive()
			l.age()
			l.op.valid = forever
			l.do(opRenew)
			expect("for ever from now on", addressChanged)
			l.do(opRenew)
			expect("and once more", addressChanged)
		})
	}
}

// An address that the kernel still looks for duplicates of is told, however often it was renewed meanwhile.
func TestTentativeIsNotMuted(t *testing.T) {
	t.Parallel()
	l := newMuteLab(t, "2001:db8::10/64")
	l.op.addr.DAD = true
	l.do(opAdd)
	l.age()
	l.do(opRenew)
	in := false
	within(t, 10*time.Second, "the end of duplicate detection", func() bool {
		changes, _ := l.feed.take()
		for i := range changes {
			e := &changes[i].entry
			in = in || changes[i].kind == addressChanged && e.prefix == l.op.addr.Prefix && e.flags&unix.IFA_F_TENTATIVE == 0
		}
		return in
	})
}
