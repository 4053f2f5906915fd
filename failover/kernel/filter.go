package kernel

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sort"
	"time"

	"github.com/google/nftables"
	mdlayher "github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"failoverd/failover"
)

// filterPoll is how often the filter asks whether somebody has changed the packet filters of the host.
const filterPoll = time.Second

// filter is the table "failoverd" of nftables, or "failoverd2" after an upgrade: what no_accept lets nobody reach, and what interfaces of virtual routers
// must not say. It is used by one goroutine.
//
// The table belongs to the socket (Linux 5.12): nobody else can change or flush it, and it ends with the process. On
// older kernels what somebody else has removed is noticed by the generation number of the host's packet filters, which
// is asked for every filterPoll, and put back.
type filter struct {
	log   *slog.Logger
	ns    *namespace
	flags uint32 // of a new table
	// name is that of the table. beside: the process before this one lives, with a table of its own that must stay.
	name   string
	beside bool

	conn       *nftables.Conn // nil: there is no table of ours
	raw        *mdlayher.Conn // the socket of conn
	content    *filterContent // what the table holds; nil: unknown
	generation uint32         // of the host's packet filters when that was so

	why string    // it cannot be had, in words; empty: it is there, or nobody wants it
	due time.Time // when keep should be called again; zero: when something else is wanted
}

func newFilter(log *slog.Logger, ns *namespace) *filter {
	return &filter{log: log, ns: ns, flags: ownerFlag, name: filterTable}
}

// filterContent is what the table should hold.
type filterContent struct {
	addresses4, addresses6 []netip.Addr
	// scoped are link-local addresses, which mean something on their interface only: the neighbour's fe80::1 is another
	// one.
	scoped   []scopedAddress
	devices  []string
	counters bool
	// silent are devices of a Backup router: the kernel would forward IPv6 that arrives there, also without an address
	// (RFC 9568 section 6.4.2 wants it dropped). It changes with the roles, and nothing else does.
	silent []string
}

type scopedAddress struct {
	addr  netip.Addr
	iface string
}

func newFilterContent(devices []failover.Device, notAccepted []failover.AddressKey, counters bool) *filterContent {
	c := &filterContent{counters: counters}
	for _, k := range notAccepted {
		switch a := k.Prefix.Addr(); {
		case a.Is4():
			c.addresses4 = append(c.addresses4, a)
		case a.IsLinkLocalUnicast():
			c.scoped = append(c.scoped, scopedAddress{a.WithZone(""), k.Interface})
		default:
			c.addresses6 = append(c.addresses6, a)
		}
	}
	for i := range devices {
		c.devices = append(c.devices, devices[i].Name)
	}
	c.addresses4 = sortedSet(c.addresses4, netip.Addr.Compare)
	c.addresses6 = sortedSet(c.addresses6, netip.Addr.Compare)
	c.devices = sortedSet(c.devices, cmp.Compare[string])
	c.scoped = sortedSet(c.scoped, func(a, b scopedAddress) int {
		return cmp.Or(a.addr.Compare(b.addr), cmp.Compare(a.iface, b.iface))
	})
	return c
}

func sortedSet[T comparable](list []T, compare func(a, b T) int) []T {
	sort.Slice(list, func(i, j int) bool { return compare(list[i], list[j]) < 0 })
	return slices.Compact(list)
}

func (c *filterContent) empty() bool {
	return len(c.addresses4)+len(c.addresses6)+len(c.scoped)+len(c.devices) == 0
}

// same reports whether c and d differ in nothing but what changes with the roles.
func (c *filterContent) same(d *filterContent) bool {
	return c != nil && d != nil && c.counters == d.counters && slices.Equal(c.addresses4, d.addresses4) &&
		slices.Equal(c.addresses6, d.addresses6) && slices.Equal(c.scoped, d.scoped) && slices.Equal(c.devices, d.devices)
}

// keep makes the table hold c, unless it does. It sets why and due.
func (f *filter) keep(c *filterContent, now time.Time) {
	f.due = time.Time{}
	if c.empty() {
		f.why = ""
		f.remove()
		return
	}
	f.due = now.Add(filterPoll)
	missing := false
	if c.same(f.content) {
		intact, err := f.intact()
		if err == nil && intact && f.silence(c) == nil {
			return
		}
		missing = err == nil && !intact
	}
	if err := f.write(c); err != nil {
		f.close() // what the socket still has to say is of no interest
		why := fmt.Sprintf("packet filter cannot be set up: %v%s", err, filterHint(err))
		if why != f.why {
			f.log.Warn("packet filter cannot be set up", "err", err)
		}
		f.why = why
		return
	}
	if missing {
		f.log.Warn("packet filter was changed by somebody else and is put back", "table", f.name)
	}
	f.content, f.why = c, ""
}

// write replaces what the table holds in one step. A new table is made first; until it is filled it lets all through.
func (f *filter) write(c *filterContent) error {
	f.content = nil
	for attempt := 1; ; attempt++ {
		err := f.open()
		if err == nil {
			if err = f.fill(c); err == nil {
				break
			}
		}
		// On the first attempt the table may have vanished under us: another one is made.
		if attempt == 2 || f.conn == nil {
			return err
		}
		f.close()
	}
	var err error
	if f.generation, err = f.currentGeneration(); err != nil {
		return err
	}
	switch whole, err := f.holds(c); {
	case err != nil:
		return err
	case !whole:
		return errors.New("somebody else changes the table")
	}
	return nil
}

// silence makes the table, which is as it was left, hold c.silent.
func (f *filter) silence(c *filterContent) error {
	was := f.content.silent
	if slices.Equal(was, c.silent) {
		return nil
	}
	if err := f.change(without(was, c.silent), without(c.silent, was)); err != nil {
		return err
	}
	f.content = c
	return nil
}

// without returns the elements of list that are not in others.
func without(list, others []string) (rest []string) {
	for _, s := range list {
		if !slices.Contains(others, s) {
			rest = append(rest, s)
		}
	}
	return rest
}

// silent returns the interfaces that the table silences; nil: none, or there is no table.
func (f *filter) silent() []string {
	if f.content == nil {
		return nil
	}
	return f.content.silent
}

// intact reports whether the table holds what was written into it.
func (f *filter) intact() (bool, error) {
	generation, err := f.currentGeneration()
	if err != nil || generation == f.generation {
		return err == nil, err
	}
	if ok, err := f.holds(f.content); !ok || err != nil {
		return false, err
	}
	f.generation = generation
	return true, nil
}

// remove deletes the table.
func (f *filter) remove() {
	if f.conn == nil {
		return
	}
	f.conn.DelTable(f.table())
	if err := f.conn.Flush(); err != nil && !errors.Is(err, unix.ENOENT) {
		f.log.Warn("packet filter not removed", "table", f.name, "err", err)
	}
	f.close()
}

// close closes the socket, and with it ends the table, if the kernel knows of owners.
func (f *filter) close() {
	if f.conn != nil {
		_ = f.conn.CloseLasting()
	}
	f.conn, f.raw, f.content = nil, nil, nil
}

func filterHint(err error) string {
	switch {
	case errors.Is(err, errForeignTable):
		return ""
	case errors.Is(err, unix.EPERM):
		return " (CAP_NET_ADMIN is missing)"
	case errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EINVAL), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOENT):
		return " (this kernel has no nftables, or not all of it)"
	}
	return ""
}
