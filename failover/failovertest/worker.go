package failovertest

import (
	"slices"
	"time"

	"failoverd/failover"
	"failoverd/vrrp"
)

// worker is the kernel worker of an agent: it makes the kernel have what is wanted, and reports what is there.
type worker struct {
	agent   *agent
	want    failover.DesiredAddresses
	asked   vrrp.Instant
	renewed uint64
	had     []failover.AddressKey        // of the last report
	written map[failover.AddressKey]bool // by this worker, not by a dead predecessor
	planned bool
	dropped []failover.AddressKey // what has ceased to be wanted since the last work; for EdgeRemoval
}

// set takes a newer desired state.
func (k *worker) set(d failover.DesiredAddresses) {
	for i := range k.want.Addresses {
		k.dropped = append(k.dropped, k.want.Addresses[i].Key())
	}
	k.want, k.asked = d, k.agent.world.now
	k.kick()
}

// kick has the worker look again soon.
func (k *worker) kick() {
	if k.planned {
		return
	}
	k.planned = true
	w, h := k.agent.world, k.agent.host
	w.After(w.upTo(workerDelay)+w.upTo(h.mood.kernel), func() {
		k.planned = false
		switch {
		case h.agent != k.agent: // dead
		case k.agent.frozen:
			k.planned, k.agent.thaw = true, append(k.agent.thaw, func() { k.planned = false; k.kick() })
		default:
			k.work()
		}
	})
}

func (k *worker) work() {
	a := k.agent
	rep := failover.AddressReport{Generation: k.want.Generation, Present: make([]failover.AddressKey, 0, len(k.want.Addresses))}
	renew := k.want.Renewal != k.renewed
	k.renewed = k.want.Renewal
	for i := range k.want.Addresses {
		k.put(&k.want.Addresses[i], renew, &rep)
	}
	for _, key := range k.leftover() {
		a.world.checker.removing(a, key)
		a.host.Kernel.remove(key, byOwner)
	}
	k.dropped = k.dropped[:0]
	k.had = rep.Present // nobody changes it
	if a.world.mutation == OptimisticReport {
		rep.Present, rep.Failed = nil, nil
		for i := range k.want.Addresses {
			rep.Present = append(rep.Present, k.want.Addresses[i].Key())
		}
	}
	a.result(failover.AddressesReported{Report: rep})
}

// put makes one wanted address be there. A lease counts from when it was asked for, however late it is written.
func (k *worker) put(addr *failover.Address, renew bool, rep *failover.AddressReport) {
	key, kern, now := addr.Key(), k.agent.host.Kernel, k.agent.world.now
	until := vrrp.Never
	if addr.Lease != failover.NoLease && k.agent.world.mutation != EternalLease {
		until = k.asked.Add(addr.Lease)
	}
	if k.agent.world.mutation == WrongDevice {
		key = onParent(kern, key)
	}
	there, ours := kern.has(key)
	link := kern.link(key.Interface)
	switch {
	case link == nil || link.index == 0:
		fails(rep, key, "no such interface")
		return
	case ours && until <= now:
		kern.remove(key, byOwner)
		return
	case ours && (renew || !k.written[key]):
		kern.write(key, until)
	case there:
	case kern.failed[key]:
		fails(rep, key, "no space left")
		return
	case until.Sub(now) < time.Second:
		return // too little of the lease is left to be written
	default:
		kern.write(key, until)
		if slices.Contains(k.had, key) {
			rep.Restored = append(rep.Restored, key)
		}
	}
	rep.Present, k.written[key] = append(rep.Present, addr.Key()), true
}

// onParent returns the key of the same address on the interface that carries a macvlan interface.
func onParent(k *Kernel, key failover.AddressKey) failover.AddressKey {
	if l := k.link(key.Interface); l != nil && l.parent != "" {
		key.Interface = l.parent
	}
	return key
}

func fails(rep *failover.AddressReport, key failover.AddressKey, why string) {
	if rep.Failed == nil {
		rep.Failed = make(map[failover.AddressKey]string)
	}
	rep.Failed[key] = why
}

// leftover returns the addresses that are to be removed.
func (k *worker) leftover() (keys []failover.AddressKey) {
	if k.agent.host.Kernel.leases == 0 {
		return nil
	}
	for _, l := range k.agent.host.Kernel.links {
		for _, x := range l.addresses {
			key := failover.AddressKey{Interface: l.name, Prefix: x.prefix}
			if !k.wants(key) && (k.agent.world.mutation != EdgeRemoval || slices.Contains(k.dropped, key)) {
				keys = append(keys, key)
			}
		}
	}
	return keys
}

func (k *worker) wants(key failover.AddressKey) bool {
	for i := range k.want.Addresses {
		a := &k.want.Addresses[i]
		if a.Prefix == key.Prefix && (a.Interface == key.Interface || k.agent.world.mutation == WrongDevice) {
			return true
		}
	}
	return false
}
