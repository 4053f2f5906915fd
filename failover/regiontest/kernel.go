package regiontest

import (
	"slices"
	"time"

	"failoverd/failover"
	"failoverd/vrrp"
)

// kernel is what a machine's kernel knows of virtual addresses, and whether its network interface is up. Leased addresses
// end by themselves on the machine's clock, whoever wrote them and whatever became of him.
type kernel struct {
	node      *node
	up        bool
	addresses []address
}

type address struct {
	key   failover.AddressKey
	until vrrp.Instant // on the machine's clock; Never: no lease
}

// leaseSlop is how late the kernel may remove an address whose lifetime is over: S_k has room for more.
const leaseSlop = 400 * time.Millisecond

func (k *kernel) find(key failover.AddressKey) int {
	return slices.IndexFunc(k.addresses, func(a address) bool { return a.key == key })
}

// write adds an address, or gives it another end of life.
func (k *kernel) write(key failover.AddressKey, until vrrp.Instant) {
	n := k.node
	if i := k.find(key); i >= 0 {
		k.addresses[i].until = until
	} else {
		n.world.note(n, "kernel: add %s", key)
		k.addresses = append(k.addresses, address{key, until})
		n.world.rules.moved(n)
	}
	n.world.rules.written(n, until)
	if until == vrrp.Never {
		return
	}
	n.at(until.Add(n.world.upTo(leaseSlop)), func() {
		if i := k.find(key); i >= 0 && k.addresses[i].until == until {
			k.remove(key, "the end of its lease")
		}
	})
}

func (k *kernel) remove(key failover.AddressKey, by string) {
	if i := k.find(key); i >= 0 {
		k.node.world.note(k.node, "kernel: remove %s by %s", key, by)
		k.addresses = slices.Delete(k.addresses, i, i+1)
		k.node.world.rules.moved(k.node)
		if a := k.node.agent; a != nil && by != "its owner" {
			a.worker.kick()
		}
		if n := k.node; n.world.rules.suspect == n {
			n.world.rules.suspect = nil
		}
	}
}

// forget is the end of the kernel.
func (k *kernel) forget() {
	k.addresses, k.up = nil, true
	k.node.world.rules.moved(k.node)
}

// set takes the network interface down, or up.
func (k *kernel) set(up bool) {
	if k.up == up {
		return
	}
	k.node.world.note(k.node, "kernel: eth0 up %v", up)
	k.up = up
	k.node.world.rules.moved(k.node)
	if a := k.node.agent; a != nil {
		k.node.after(k.node.world.upTo(resultDelay), func() { a.arrives(failover.InterfaceChanged{Interface: k.describe("eth0")}) })
	}
}

// describe returns an interface as a watcher reports it.
func (k *kernel) describe(name string) failover.Interface {
	if name == "lo" {
		i := failover.Interface{Name: "lo", Index: 1, Up: true, Loopback: true, MTU: 65536}
		for _, a := range k.addresses {
			i.Addresses = append(i.Addresses, a.key.Prefix)
		}
		return i
	}
	return failover.Interface{Name: name, Index: 2, Up: k.up, MTU: 1500, Addresses: prefixes(k.node.address)}
}

// worker is the kernel worker of an agent: it makes the kernel have what is wanted, and reports what is there.
type worker struct {
	agent   *agent
	want    failover.DesiredAddresses
	asked   vrrp.Instant
	renewed uint64
	first   bool // it has not worked yet: what is there is a dead predecessor's
	planned bool
}

func (k *worker) set(d failover.DesiredAddresses) {
	k.want, k.asked = d, k.agent.node.local()
	k.kick()
}

// kick has the worker look soon.
func (k *worker) kick() {
	if k.planned {
		return
	}
	k.planned = true
	a := k.agent
	a.node.after(a.node.world.upTo(workerDelay)+a.node.world.upTo(a.node.late), func() {
		k.planned = false
		a.alive(k.work)
	})
}

func (k *worker) work() {
	a, kern := k.agent, &k.agent.node.kernel
	rep := failover.AddressReport{Generation: k.want.Generation, Failed: make(map[failover.AddressKey]string)}
	renew := k.first || k.want.Renewal != k.renewed
	k.renewed, k.first = k.want.Renewal, false
	for i := range k.want.Addresses {
		if !k.put(&k.want.Addresses[i], renew, &rep) {
			return // it hangs
		}
	}
	for _, x := range slices.Clone(kern.addresses) {
		if !slices.ContainsFunc(k.want.Addresses, func(w failover.Address) bool { return w.Key() == x.key }) {
			kern.remove(x.key, "its owner")
		}
	}
	a.result(failover.AddressesReported{Report: rep})
}

// put makes one wanted address be there: it checks what lifetime is left, writes, and checks again. A hang between the
// two is the end of this round; it writes late, and goes on.
func (k *worker) put(addr *failover.Address, renew bool, rep *failover.AddressReport) bool {
	kern, key := &k.agent.node.kernel, addr.Key()
	there := kern.find(key) >= 0
	if there && !renew {
		rep.Present = append(rep.Present, key)
		return true
	}
	life := k.life(addr)
	if life == 0 {
		if there {
			kern.remove(key, "its owner")
		}
		return true
	}
	if k.agent.hangBeforeWrite(func() { k.late(addr, life) }) {
		return false
	}
	k.write(addr, life)
	if kern.find(key) >= 0 {
		rep.Present = append(rep.Present, key)
	}
	return true
}

// life returns the lifetime to write now, in whole seconds; 0: none. A lease counts from when it was asked for, however late it is
// written, and authority ends when it ends.
func (k *worker) life(addr *failover.Address) time.Duration {
	if addr.Lease == failover.NoLease || k.agent.node.world.mutation == NoDeadMan {
		return -1
	}
	now := k.agent.node.local()
	life := min(addr.Lease-now.Sub(k.asked)+leaseRounding, addr.Lease)
	if until := k.want.Until; addr.Guarded && until != 0 && until != vrrp.Never {
		life = min(life, until.Sub(now))
	}
	return max(life.Truncate(time.Second), 0)
}

// leaseRounding is by how much a lifetime may be rounded up to the kernel's whole seconds.
const leaseRounding = 250 * time.Millisecond

// write writes, looks again whether it may, and undoes what it should not have done.
func (k *worker) write(addr *failover.Address, life time.Duration) {
	kern := &k.agent.node.kernel
	if life < 0 {
		kern.write(addr.Key(), vrrp.Never)
		return
	}
	kern.write(addr.Key(), k.agent.node.local().Add(life))
	if k.agent.node.world.mutation != SingleCheck && life > k.life(addr) {
		kern.remove(addr.Key(), "its owner")
	}
}

// late is a write after a hang.
func (k *worker) late(addr *failover.Address, life time.Duration) {
	k.agent.node.world.log(k.agent.node, "kernel worker: a late write")
	k.write(addr, life)
	k.kick()
}
