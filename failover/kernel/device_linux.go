package kernel

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"failoverd/failover"
)

// deviceAlias begins the alias (IFLA_IFALIAS) of every interface that is ours. Behind it are the settings that its
// parent had before.
const deviceAlias = "failoverd"

// ownDevice is what is remembered of an interface of ours.
type ownDevice struct {
	index, parent int
	up            bool
	losses        flap
}

// keep makes the kernel's interfaces and the filter as they are wanted. Interfaces are made first, but come up only
// when the filter is there.
func (w *deviceWorker) keep(now time.Time) {
	w.failed = map[string]string{}
	links, err := w.list()
	if err != nil {
		for _, d := range w.wish.devices {
			w.failed[d.Name] = fmt.Sprintf("interfaces cannot be listed: %v", err)
		}
		w.later(now.Add(retryAfter))
		w.filter.keep(w.content(), now)
		return
	}
	if w.filter.beside {
		w.look(links)
		w.filter.keep(w.content(), now)
		return
	}
	w.learn(links)
	w.sweep(links, w.wish.devices)
	for i := range w.wish.devices {
		d := &w.wish.devices[i]
		if err := w.ensure(links, d, now); err != nil {
			w.fail(d.Name, err, now)
		}
	}
	w.filter.keep(w.content(), now)
	for i := range w.wish.devices {
		d := &w.wish.devices[i]
		if w.failed[d.Name] != "" {
			continue
		}
		if err := w.raise(links[d.Name], d, now); err != nil {
			w.fail(d.Name, err, now)
		}
	}
}

// look finds out whether the process before this one has what is wanted.
func (w *deviceWorker) look(links map[string]netlink.Link) {
	for i := range w.wish.devices {
		d := &w.wish.devices[i]
		l, parent := links[d.Name], links[d.Parent]
		if l == nil || parent == nil || !ownMacvlan(l) || !fits(l, parent, d) || l.Attrs().Flags&net.FlagUp == 0 {
			w.failed[d.Name] = "the process before this one does not have it"
		}
	}
}

func (w *deviceWorker) fail(name string, err error, now time.Time) {
	w.failed[name] = err.Error()
	w.later(now.Add(retryAfter))
}

// list returns all interfaces by name.
func (w *deviceWorker) list() (map[string]netlink.Link, error) {
	list, err := w.links.LinkList()
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) { // then a notification follows
		return nil, err
	}
	links := make(map[string]netlink.Link, len(list))
	for _, l := range list {
		links[l.Attrs().Name] = l
	}
	return links, nil
}

// ownMacvlan reports whether an interface is one of ours.
func ownMacvlan(l netlink.Link) bool {
	alias := l.Attrs().Alias
	return l.Type() == "macvlan" && (alias == deviceAlias || strings.HasPrefix(alias, deviceAlias+" "))
}

// sweep removes what is ours and not wanted: what a dead predecessor left and what the last configuration had. A
// parent that has none of ours any more gets its settings back.
func (w *deviceWorker) sweep(links map[string]netlink.Link, want []failover.Device) {
	wanted, inUse := make(map[string]bool), make(map[string]bool)
	for i := range want {
		wanted[want[i].Name], inUse[want[i].Parent] = true, true
	}
	for name, l := range links {
		if !ownMacvlan(l) || wanted[name] {
			continue
		}
		if err := w.remove(l, "not wanted any more"); err != nil {
			w.failed[name] = err.Error()
			w.later(time.Now().Add(retryAfter))
			continue
		}
		delete(links, name)
		delete(w.ours, name)
	}
	for name := range w.parents {
		if !inUse[name] {
			w.restoreParent(name, links[name])
		}
	}
}

func (w *deviceWorker) remove(l netlink.Link, why string) error {
	name := l.Attrs().Name
	if err := w.links.LinkDel(l); err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("remove macvlan interface %s: %w", name, err)
	}
	w.log.Info("macvlan interface removed", "interface", name, "reason", why)
	return nil
}

// ensure makes the interface, or makes sure of the one that is there. It stays down if it is new.
func (w *deviceWorker) ensure(links map[string]netlink.Link, d *failover.Device, now time.Time) error {
	parent := links[d.Parent]
	if parent == nil {
		return fmt.Errorf("parent interface %s does not exist", d.Parent)
	}
	l := links[d.Name]
	switch {
	case l != nil && !ownMacvlan(l):
		return fmt.Errorf("there is an interface %s (%s) that is not failoverd's", d.Name, l.Type())
	case l != nil && !fits(l, parent, d):
		if err := w.remove(l, "of another make than wanted"); err != nil {
			return err
		}
		delete(links, d.Name)
		delete(w.ours, d.Name)
		l = nil
	}
	own := w.ours[d.Name]
	if l != nil && own != nil && own.index == l.Attrs().Index && now.Before(w.check) {
		return nil
	}
	if err := w.quietParent(parent); err != nil {
		return err
	}
	if l != nil {
		if own == nil {
			own = &ownDevice{up: l.Attrs().Flags&net.FlagUp != 0}
			w.log.Info("macvlan interface of a predecessor taken over", "interface", d.Name)
		}
		own.index, own.parent = l.Attrs().Index, parent.Attrs().Index
		w.ours[d.Name] = own
		return w.configure(d)
	}
	if own != nil {
		if own.parent == parent.Attrs().Index {
			own.losses.lost(now)
		}
		own.parent = -1 // counted
		if own.losses.held(now) {
			w.later(own.losses.allowed)
			return errors.New("somebody removes it again and again, the next attempt has to wait")
		}
	}
	return w.create(links, parent, d, own)
}

// fits reports whether a macvlan interface is the wanted one. Over another macvlan interface the kernel puts it beside
// that one.
func fits(l, parent netlink.Link, d *failover.Device) bool {
	m, ok := l.(*netlink.Macvlan)
	below := parent.Attrs().Index
	if parent.Type() == "macvlan" {
		below = parent.Attrs().ParentIndex
	}
	return ok && m.Mode == netlink.MACVLAN_MODE_BRIDGE && m.ParentIndex == below && bytes.Equal(m.HardwareAddr, d.MAC[:])
}

// create makes the interface and leaves it down. One that cannot be made quiet is removed again.
func (w *deviceWorker) create(links map[string]netlink.Link, parent netlink.Link, d *failover.Device, own *ownDevice) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex, attrs.HardwareAddr = d.Name, parent.Attrs().Index, d.MAC[:]
	l := &netlink.Macvlan{LinkAttrs: attrs, Mode: netlink.MACVLAN_MODE_BRIDGE}
	if err := w.links.LinkAdd(l); err != nil {
		return fmt.Errorf("make macvlan interface over %s: %w%s", d.Parent, err, macvlanHint(err))
	}
	err := w.links.LinkSetAlias(l, w.parents[d.Parent].alias())
	if err != nil {
		err = fmt.Errorf("set the alias: %w", err)
	} else {
		err = w.configure(d)
	}
	if err != nil {
		return errors.Join(err, w.links.LinkDel(l))
	}
	if own == nil {
		own = &ownDevice{}
	}
	own.index, own.parent, own.up = l.Index, parent.Attrs().Index, false
	w.ours[d.Name], links[d.Name] = own, l
	w.log.Info("macvlan interface made", "interface", d.Name, "parent", d.Parent, "mac", l.HardwareAddr.String())
	return nil
}

func macvlanHint(err error) string {
	switch {
	case errors.Is(err, unix.EPERM):
		return " (CAP_NET_ADMIN is missing)"
	case errors.Is(err, unix.EOPNOTSUPP):
		return " (this kernel has no macvlan)"
	case errors.Is(err, unix.EINVAL):
		return " (it needs an Ethernet interface below it)"
	case errors.Is(err, unix.EBUSY):
		return " (the parent is a port of a bridge or a bond, or is used up by another macvlan interface)"
	}
	return ""
}

// raise sets the interface up. Somebody who sets it down has to do that more and more often to be heard.
func (w *deviceWorker) raise(l netlink.Link, d *failover.Device, now time.Time) error {
	own := w.ours[d.Name]
	if own.up && l.Attrs().Flags&net.FlagUp != 0 {
		return nil
	}
	if own.up {
		own.up = false
		own.losses.lost(now)
	}
	if own.losses.held(now) {
		w.later(own.losses.allowed)
		return errors.New("somebody sets it down again and again, the next attempt has to wait")
	}
	err := w.links.LinkSetUp(l)
	switch {
	case errors.Is(err, unix.EADDRINUSE), errors.Is(err, unix.EBUSY): // newer and older kernels
		return fmt.Errorf("set up: %w (another interface on %s has the address %v)", err, d.Parent, net.HardwareAddr(d.MAC[:]))
	case err != nil:
		return fmt.Errorf("set up: %w", err)
	}
	own.up = true
	return nil
}

// silent returns the names of our IPv6 interfaces without an IPv6 address, sorted: those of a Backup router.
func (w *deviceWorker) silent() []string {
	waiting := make(map[int]string)
	for i := range w.wish.devices {
		d := &w.wish.devices[i]
		if own := w.ours[d.Name]; d.IPv6 && own != nil {
			waiting[own.index] = d.Name
		}
	}
	if len(waiting) == 0 {
		return nil
	}
	list, err := w.links.AddrList(nil, unix.AF_INET6)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) { // then a notification follows
		w.log.Warn("IPv6 addresses cannot be listed", "err", err)
		return w.filter.silent()
	}
	for i := range list {
		delete(waiting, list[i].LinkIndex)
	}
	return slices.Sorted(maps.Values(waiting))
}

// end removes everything that is ours.
func (w *deviceWorker) end() {
	if w.wish == nil {
		w.filter.close()
		return
	}
	if w.filter.beside { // they belong to the process before this one
		w.filter.remove()
		return
	}
	links, err := w.list()
	if err != nil {
		w.log.Error("macvlan interfaces not removed", "err", err)
	} else {
		w.failed = map[string]string{}
		w.sweep(links, nil)
		for name, why := range w.failed {
			w.log.Error("macvlan interface not removed", "interface", name, "reason", why)
		}
	}
	w.filter.remove()
}
