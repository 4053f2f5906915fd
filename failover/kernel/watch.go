package kernel

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sort"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/failover"
)

// settle is for how long Watch collects further changes after the first one: the kernel reports one change of an
// interface in several messages, and a thousand addresses one by one.
const settle = 2 * time.Millisecond

// Watch delivers every interface at once, and then each one again whose link or usable addresses changed; one that
// disappeared or was renamed is delivered with only Name set. Changes within a few milliseconds are delivered as one,
// and a renewed lease is none. deliver is called by Watch's goroutine, in the order of interface indexes with
// disappearances first, and may block: what happens meanwhile is merged.
//
// Watch returns nil when ctx is done, and an error only if the kernel's notifications cannot be subscribed to at the
// start. Later errors are logged and retried.
func (w *Worker) Watch(ctx context.Context, deliver func(failover.Interface)) error {
	feed, err := w.watcher.subscribe()
	if err != nil {
		return fmt.Errorf("watch interfaces: %w", err)
	}
	defer feed.close()
	v := watch{have: newTable(), told: map[string]failover.Interface{}, deliver: deliver}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-feed.changed():
			if v.merge(feed) && !v.dirty {
				v.dirty = true
				timer.Reset(settle)
			}
		case <-timer.C:
			v.merge(feed)
			timer.Reset(w.options.Resync)
			if err := v.list(w.watcher); err != nil {
				w.log.Warn("interfaces cannot be read", "err", err)
				timer.Reset(retryAfter)
			}
		}
	}
}

// watch is what Watch has told so far.
type watch struct {
	have    *table
	told    map[string]failover.Interface
	dirty   bool // the timer runs for a change
	deliver func(failover.Interface)
}

// merge takes what is new from the feed and reports whether it says anything new.
func (v *watch) merge(f feed) bool {
	changes, news := f.take()
	now := time.Now()
	for i := range changes {
		news = v.have.apply(&changes[i], now) || news
	}
	return news
}

// list reads everything, because only that has the kernel's order, and delivers what differs from before.
func (v *watch) list(h host) error {
	v.dirty = false
	links, err := h.links()
	if err != nil {
		return err
	}
	entries, err := h.addresses()
	if err != nil {
		return err
	}
	v.have = read(links, entries, time.Now())
	v.tell(interfaces(links, entries))
	return nil
}

// tell delivers the differences between now and what was told.
func (v *watch) tell(now []failover.Interface) {
	names := make(map[string]bool, len(now))
	for i := range now {
		names[now[i].Name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(v.told)) {
		if !names[name] {
			delete(v.told, name)
			v.deliver(failover.Interface{Name: name})
		}
	}
	for i := range now {
		if old, ok := v.told[now[i].Name]; ok && old.Equal(&now[i]) {
			continue
		}
		v.told[now[i].Name] = now[i]
		v.deliver(now[i])
	}
}

// interfaces joins a listing of links with one of addresses, sorted by index.
func interfaces(links []link, entries []entry) []failover.Interface {
	addresses := make(map[int][]netip.Prefix, len(links))
	for i := range entries {
		if e := &entries[i]; e.usable() {
			addresses[e.index] = append(addresses[e.index], e.prefix)
		}
	}
	list := make([]failover.Interface, 0, len(links))
	for _, l := range links {
		loopback := l.flags&unix.IFF_LOOPBACK != 0
		list = append(list, failover.Interface{
			Name: l.name, Index: l.index, MTU: l.mtu, Loopback: loopback,
			Up:        l.flags&unix.IFF_UP != 0 && (loopback || l.flags&unix.IFF_RUNNING != 0),
			Addresses: addresses[l.index],
		})
	}
	sort.Slice(list, func(i, j int) bool {
		a, b := &list[i], &list[j]
		if a.Index != b.Index {
			return a.Index < b.Index
		}
		return a.Name < b.Name
	})
	return list
}
