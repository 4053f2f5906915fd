package kernel

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"failoverd/failover"
)

// objectHost is the kernel as the reconciler of routes and rules needs it: netlinkObjects, or a fake in tests. It is
// used by one goroutine.
type objectHost interface {
	// links returns all network interfaces.
	links() ([]link, error)
	// routes returns the IPv4 and IPv6 routes of all tables that keep wants, in the kernel's order.
	routes(keep func(key failover.RouteKey, proto uint8) bool) ([]routeEntry, error)
	// rules returns all policy rules that a failover.KernelRule can describe.
	rules() ([]ruleEntry, error)
	// write carries out ops in order and returns an error (or nil) for each. A failed one does not stop the others. The
	// changes that ops made are in the feed when it returns.
	write(ops []objectOp) []error
	// port identifies the changes that write made.
	port() uint32
	subscribe() (objectFeed, error)
	close() error
}

// objectFeed is the stream of changes of links, addresses, routes and rules; see feed.
type objectFeed interface {
	changed() <-chan struct{}
	take() (changes []objectChange, lost bool)
	close()
}

// batchOctets bounds what is sent at once: the send buffer is 208 KiB by default, and the kernel counts more than the
// octets in it.
const batchOctets = 64 << 10

// netlinkObjects is the kernel of a network namespace.
type netlinkObjects struct {
	*netlinkHost
	portID uint32
}

func openObjects(log *slog.Logger) (*netlinkObjects, error) {
	h, err := openHost(log)
	if err != nil {
		return nil, err
	}
	o := &netlinkObjects{netlinkHost: h}
	if o.portID, err = h.sock.port(); err != nil {
		return nil, errors.Join(err, h.close())
	}
	return o, nil
}

// port returns the netlink port of the socket.
func (s *socket) port() (port uint32, err error) {
	var failed error
	err = s.raw.Control(func(fd uintptr) {
		var sa unix.Sockaddr
		if sa, failed = unix.Getsockname(int(fd)); failed == nil {
			port = sa.(*unix.SockaddrNetlink).Pid
		}
	})
	if err = errors.Join(err, failed); err != nil {
		return 0, fmt.Errorf("rtnetlink: find own port: %w", err)
	}
	return port, nil
}

func (h *netlinkObjects) port() uint32 { return h.portID }

func (h *netlinkObjects) subscribe() (objectFeed, error) {
	f := &netlinkObjectFeed{}
	err := f.start(h.log, h.ns, func(m unix.NlMsghdr, body []byte) { f.news.add(parseObjectChange(m, body)) },
		unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE,
		unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// netlinkObjectFeed is a subscription to links, addresses, routes and rules.
type netlinkObjectFeed struct {
	subscription
	news queue[objectChange]
}

func (f *netlinkObjectFeed) take() ([]objectChange, bool) { return takeFrom(&f.subscription, &f.news) }

func (h *netlinkObjects) routes(keep func(failover.RouteKey, uint8) bool) (list []routeEntry, err error) {
	for _, family := range families {
		part, err := dump(h.netlinkHost, func() *nl.NetlinkRequest { return routeDump(family) }, unix.RTM_NEWROUTE,
			func(b []byte) (routeEntry, bool) {
				if len(b) == 0 || b[0] != family {
					return routeEntry{}, false // of another family, where the kernel does not know this one
				}
				return parseRoute(b, keep)
			})
		if err != nil && !unsupported(err) {
			return nil, err
		}
		list = append(list, part...)
	}
	return list, nil
}

func (h *netlinkObjects) rules() (list []ruleEntry, err error) {
	for _, family := range families {
		part, err := dump(h.netlinkHost, func() *nl.NetlinkRequest { return ruleDump(family) }, unix.RTM_NEWRULE,
			func(b []byte) (ruleEntry, bool) {
				if len(b) == 0 || b[0] != family {
					return ruleEntry{}, false
				}
				return parseRule(b)
			})
		if err != nil && !unsupported(err) {
			return nil, err
		}
		list = append(list, part...)
	}
	return list, nil
}

var families = [...]uint8{unix.AF_INET, unix.AF_INET6}

// unsupported reports whether a listing failed because the kernel was built without what was to be listed.
func unsupported(err error) bool {
	return errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EAFNOSUPPORT)
}

func (h *netlinkObjects) write(ops []objectOp) []error {
	errs := make([]error, len(ops))
	requests := make([]*nl.NetlinkRequest, 0, min(batch, len(ops)))
	first, octets := 0, 0
	for i := range ops {
		size := ops[i].size()
		if len(requests) == batch || octets+size > batchOctets && i > first {
			h.exchange(requests, errs[first:i])
			requests, first, octets = requests[:0], i, 0
		}
		requests = append(requests, ops[i].request())
		octets += size
	}
	if len(requests) > 0 {
		h.exchange(requests, errs[first:])
	}
	return errs
}

// size returns at least the length of the message in octets.
func (o *objectOp) size() int { return 256 + 32*len(o.entry.hops) }

// request returns the message that carries o out, without sequence number and NLM_F_ACK.
func (o *objectOp) request() *nl.NetlinkRequest {
	newKind, deleteKind := unix.RTM_NEWROUTE, unix.RTM_DELROUTE
	if o.route == nil {
		newKind, deleteKind = unix.RTM_NEWRULE, unix.RTM_DELRULE
	}
	kind, flags := newKind, 0
	switch o.kind {
	case objectAdd:
		flags = createExclusively
	case objectReplace:
		flags = createOrReplace
	case objectDelete:
		kind = deleteKind
	default:
		panic(fmt.Sprintf("kernel: unknown op %d", o.kind))
	}
	if o.route == nil {
		return ruleRequest(kind, flags, &o.rule)
	}
	return routeRequest(kind, flags, &o.entry)
}

// parseObjectChange reads a notification.
func parseObjectChange(m unix.NlMsghdr, body []byte) (c objectChange, ok bool) {
	c.port, c.replaced = m.Pid, m.Flags&unix.NLM_F_REPLACE != 0
	switch m.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		c.kind, c.gone = objectLink, m.Type == unix.RTM_DELLINK
		c.link, ok = parseLink(body)
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		c.kind, c.gone = objectAddress, m.Type == unix.RTM_DELADDR
		c.entry, ok = parseAddress(body)
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		c.kind, c.gone = objectRoute, m.Type == unix.RTM_DELROUTE
		c.route, ok = parseRoute(body, nil)
	case unix.RTM_NEWRULE, unix.RTM_DELRULE:
		c.kind, c.gone = objectRule, m.Type == unix.RTM_DELRULE
		c.rule, ok = parseRule(body)
	}
	return c, ok
}
