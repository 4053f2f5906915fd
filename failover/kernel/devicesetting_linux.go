package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"failoverd/failover"
)

// Directories of the settings of interfaces. They show the network namespace of the thread that opens them.
const (
	conf4 = "/proc/sys/net/ipv4/conf"
	conf6 = "/proc/sys/net/ipv6/conf"
)

// What the parent of a virtual router's interface needs: to answer ARP for its own addresses only, and to use none but
// them as the sender of its own requests. A larger arp_ignore is stricter, and the administrator's choice.
const (
	arpIgnore   = 1
	arpAnnounce = 2
)

// parentSettings are what a parent had before we came.
type parentSettings struct {
	index               int
	arpIgnore, announce int
}

const aliasFormat = deviceAlias + " arp_ignore %d arp_announce %d"

func (p *parentSettings) alias() string { return fmt.Sprintf(aliasFormat, p.arpIgnore, p.announce) }

// learn reads what a dead predecessor wrote into the aliases of its interfaces. That holds as long as the parent still
// has what we would have set.
func (w *deviceWorker) learn(links map[string]netlink.Link) {
	if len(w.ours) > 0 || len(w.parents) > 0 {
		return
	}
	byIndex := make(map[int]netlink.Link, len(links))
	for _, l := range links {
		byIndex[l.Attrs().Index] = l
	}
	for _, l := range links {
		parent := byIndex[l.Attrs().ParentIndex]
		if !ownMacvlan(l) || parent == nil {
			continue
		}
		p := &parentSettings{index: parent.Attrs().Index}
		n, _ := fmt.Sscanf(l.Attrs().Alias, aliasFormat, &p.arpIgnore, &p.announce)
		if n == 2 && p.arpIgnore >= 0 && p.announce >= 0 {
			w.parents[parent.Attrs().Name] = p
		}
	}
}

// quietParent makes the parent leave the virtual addresses to our interfaces. It fails where that cannot be had.
func (w *deviceWorker) quietParent(parent netlink.Link) error {
	name := parent.Attrs().Name
	return w.ns.do(func() error {
		if err := obstacles(); err != nil {
			return err
		}
		ignore, err := readSetting(conf4, name, "arp_ignore")
		if err != nil {
			return err
		}
		announce, err := readSetting(conf4, name, "arp_announce")
		if err != nil {
			return err
		}
		p := w.parents[name]
		if p == nil || p.index != parent.Attrs().Index {
			p = &parentSettings{index: parent.Attrs().Index, arpIgnore: ignore, announce: announce}
			w.parents[name] = p
		}
		if ignore >= arpIgnore && announce >= arpAnnounce {
			return nil
		}
		w.log.Info("ARP settings of the parent interface changed", "interface", name,
			"arp_ignore", max(ignore, arpIgnore), "arp_announce", max(announce, arpAnnounce))
		return errors.Join(
			writeSetting(conf4, name, "arp_ignore", max(ignore, arpIgnore)),
			writeSetting(conf4, name, "arp_announce", max(announce, arpAnnounce)),
		)
	})
}

// restoreParent puts back what the parent had, unless somebody has changed it since.
func (w *deviceWorker) restoreParent(name string, parent netlink.Link) {
	p := w.parents[name]
	delete(w.parents, name)
	if parent == nil || parent.Attrs().Index != p.index {
		return
	}
	restore := func(key string, before, set int) error {
		switch now, err := readSetting(conf4, name, key); {
		case err != nil:
			return err
		case now != set || before >= set:
			return nil
		}
		return writeSetting(conf4, name, key, before)
	}
	err := w.ns.do(func() error {
		return errors.Join(restore("arp_ignore", p.arpIgnore, arpIgnore), restore("arp_announce", p.announce, arpAnnounce))
	})
	if err != nil {
		w.log.Warn("ARP settings of the parent interface not put back", "interface", name, "err", err)
	}
}

// configure makes the interface a quiet one that answers for its own addresses.
func (w *deviceWorker) configure(d *failover.Device) error {
	return w.ns.do(func() error {
		forwarding, err := readSetting(conf4, d.Parent, "forwarding")
		if err != nil {
			return err
		}
		err = errors.Join(
			writeSetting(conf4, d.Name, "arp_ignore", arpIgnore),
			writeSetting(conf4, d.Name, "arp_announce", arpAnnounce),
			writeSetting(conf4, d.Name, "arp_filter", 0),
			writeSetting(conf4, d.Name, "rp_filter", 2),
			writeSetting(conf4, d.Name, "forwarding", forwarding),
		)
		if err != nil {
			return err
		}
		return configureIPv6(d)
	})
}

// configureIPv6 keeps IPv6 from making addresses on the interface, and so from speaking before it has virtual ones.
func configureIPv6(d *failover.Device) error {
	if _, err := os.Stat(conf6); errors.Is(err, fs.ErrNotExist) {
		if d.IPv6 {
			return errors.New("this kernel runs without IPv6")
		}
		return nil
	}
	const none = 1 // IN6_ADDR_GEN_MODE_NONE
	if err := writeSetting(conf6, d.Name, "addr_gen_mode", none); err != nil {
		return err
	}
	if !d.IPv6 {
		return writeSetting(conf6, d.Name, "disable_ipv6", 1)
	}
	forwarding, err := readSetting(conf6, d.Parent, "forwarding")
	if err != nil {
		return err
	}
	return errors.Join(
		writeSetting(conf6, d.Name, "accept_ra", 0),
		writeSetting(conf6, d.Name, "autoconf", 0),
		writeSetting(conf6, d.Name, "forwarding", forwarding),
		writeSetting(conf6, d.Name, "disable_ipv6", 0),
	)
}

// obstacles are settings of the whole host that no setting of an interface can undo: with them, nobody would get an
// answer to who has a virtual address. They are the administrator's and are not touched.
func obstacles() error {
	filter, err := readSetting(conf4, "all", "arp_filter")
	if err != nil {
		return err
	}
	ignore, err := readSetting(conf4, "all", "arp_ignore")
	switch {
	case err != nil:
		return err
	case filter != 0:
		return fmt.Errorf("net.ipv4.conf.all.arp_filter is %d: virtual addresses on a macvlan interface are not answered for (want 0)", filter)
	case ignore > 3: // whether 2 answers is a matter of the address's prefix length
		return fmt.Errorf("net.ipv4.conf.all.arp_ignore is %d: virtual addresses on a macvlan interface are not answered for (want 0 or 1)", ignore)
	}
	return nil
}

func readSetting(conf, iface, key string) (int, error) {
	b, err := os.ReadFile(filepath.Join(conf, iface, key))
	if err != nil {
		return 0, fmt.Errorf("read setting: %w", err)
	}
	v, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0, fmt.Errorf("read setting %s of %s: %w", key, iface, err)
	}
	return v, nil
}

// writeSetting writes a setting that has another value.
func writeSetting(conf, iface, key string, value int) error {
	now, err := readSetting(conf, iface, key)
	if err != nil || now == value {
		return err
	}
	err = os.WriteFile(filepath.Join(conf, iface, key), []byte(strconv.Itoa(value)), 0)
	hint := ""
	if errors.Is(err, unix.EROFS) {
		hint = fmt.Sprintf(" (it is %d and must be %d, but /proc/sys is read-only here)", now, value)
	}
	if err != nil {
		return fmt.Errorf("write setting: %w%s", err, hint)
	}
	return nil
}
