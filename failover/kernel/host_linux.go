package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// host is the kernel as this package needs it: netlinkHost, or a fake in tests. It is used by one goroutine.
type host interface {
	// links returns all network interfaces, by index.
	links() ([]link, error)
	// addresses returns all IPv4 and IPv6 addresses in the kernel's order.
	addresses() ([]entry, error)
	// write carries out ops in order and returns an error (or nil) for each. A failed one does not stop the others.
	write(ops []op) []error
	// subscribe returns a new stream of changes.
	subscribe() (feed, error)
	// tagged reports whether the kernel keeps Protocol with an address.
	tagged() bool
	close() error
}

// feed is the stream of changes of links and addresses.
type feed interface {
	// changed is ready when take has something to return.
	changed() <-chan struct{}
	// take returns all changes up to now, oldest first; the slice is valid until the next take. If lost, some are
	// missing and everything must be listed anew.
	take() (changes []change, lost bool)
	close()
}

// batch is how many writes share one system call. Their answers must fit into the receive buffer, 208 KiB by default,
// of which the kernel charges almost 1 KiB for the smallest one.
const batch = 64

// netlinkHost is the kernel of the network namespace ns.
type netlinkHost struct {
	log   *slog.Logger
	ns    *namespace
	sock  *socket
	buf   []byte
	out   []byte
	seq   uint32
	proto bool
}

// openHost opens the kernel of the namespace of the calling thread.
func openHost(log *slog.Logger) (*netlinkHost, error) {
	ns, err := currentNamespace()
	if err != nil {
		return nil, err
	}
	sock, err := openSocket(ns, 1<<20)
	if err != nil {
		return nil, errors.Join(err, ns.close())
	}
	h := &netlinkHost{log: log, ns: ns, sock: sock, buf: make([]byte, receiveSize)}
	h.proto = h.probe()
	return h, nil
}

func (h *netlinkHost) close() error { return errors.Join(h.sock.close(), h.ns.close()) }

func (h *netlinkHost) tagged() bool { return h.proto }

func (h *netlinkHost) subscribe() (feed, error) { return openFeed(h.log, h.ns) }

// probe reports whether the kernel knows IFA_PROTO. Without the right to add addresses the answer is of no interest.
func (h *netlinkHost) probe() bool {
	errs := []error{nil}
	h.exchange([]*nl.NetlinkRequest{probeRequest()}, errs)
	return !errors.Is(errs[0], unix.ENODEV)
}

func (h *netlinkHost) write(ops []op) []error {
	errs := make([]error, len(ops))
	for first := 0; first < len(ops); first += batch {
		part := ops[first:min(first+batch, len(ops))]
		h.out = h.out[:0]
		for i := range part {
			at := len(h.out)
			h.out = part[i].appendMessage(h.out, h.proto)
			h.number(at, i == len(part)-1)
		}
		h.deliver(errs[first : first+len(part)])
	}
	return errs
}

// exchange sends requests in one datagram and stores the error of each.
func (h *netlinkHost) exchange(requests []*nl.NetlinkRequest, errs []error) {
	h.out = h.out[:0]
	for i, r := range requests {
		at := len(h.out)
		h.out = append(h.out, r.Serialize()...)
		h.number(at, i == len(requests)-1)
	}
	h.deliver(errs)
}

// number gives the message at an offset of h.out the next sequence number, and asks for an acknowledgement of the last one.
func (h *netlinkHost) number(at int, last bool) {
	h.seq++
	m := h.out[at:]
	binary.NativeEndian.PutUint32(m[8:], h.seq)
	if last {
		binary.NativeEndian.PutUint16(m[6:], binary.NativeEndian.Uint16(m[6:])|unix.NLM_F_ACK)
	}
}

// deliver sends the messages in h.out, one for each of errs, and stores their errors. The kernel works through them in
// order and answers failures always, successes only when asked: so the answer to the last one ends the exchange.
func (h *netlinkHost) deliver(errs []error) {
	first := h.seq + 1 - uint32(len(errs))
	err := h.sock.send(h.out)
	for done := false; err == nil && !done; {
		var b []byte
		if b, err = h.sock.receive(h.buf); err != nil {
			break
		}
		for m, body := range messages(b) {
			i := m.Seq - first
			if m.Type != unix.NLMSG_ERROR || i >= uint32(len(errs)) {
				continue
			}
			errs[i] = parseError(m, body)
			done = done || m.Seq == h.seq
		}
	}
	if err == nil {
		return
	}
	// What became of the others is unknown. Every one of them counts as failed; the next listing tells.
	for i := range errs {
		if errs[i] == nil {
			errs[i] = fmt.Errorf("rtnetlink: %w", err)
		}
	}
}

func (h *netlinkHost) links() ([]link, error) {
	return dump(h, linkDump, unix.RTM_NEWLINK, parseLink)
}

func (h *netlinkHost) addresses() ([]entry, error) {
	return dump(h, addressDump, unix.RTM_NEWADDR, parseAddress)
}

// errInterrupted says that a listing changed while it was made.
var errInterrupted = errors.New("listing interrupted by changes")

// dump lists everything of a kind. The kernel says when the list changed meanwhile; after a few attempts the last one
// is taken as it is, because the notifications make up for it.
func dump[T any](h *netlinkHost, request func() *nl.NetlinkRequest, kind uint16, parse func([]byte) (T, bool)) ([]T, error) {
	for attempt := 1; ; attempt++ {
		list, err := dumpOnce(h, request(), kind, parse)
		switch {
		case err == nil || errors.Is(err, errInterrupted) && attempt >= 3:
			return list, nil
		case !errors.Is(err, errInterrupted):
			return nil, fmt.Errorf("rtnetlink: list: %w", err)
		}
	}
}

func dumpOnce[T any](h *netlinkHost, request *nl.NetlinkRequest, kind uint16, parse func([]byte) (T, bool)) ([]T, error) {
	h.seq++
	request.Seq = h.seq
	if err := h.sock.send(request.Serialize()); err != nil {
		return nil, err
	}
	var list []T
	interrupted := false
	for {
		b, err := h.sock.receive(h.buf)
		if err != nil {
			return nil, err
		}
		for m, body := range messages(b) {
			if m.Seq != h.seq {
				continue
			}
			interrupted = interrupted || m.Flags&unix.NLM_F_DUMP_INTR != 0
			switch m.Type {
			case kind:
				if v, ok := parse(body); ok {
					list = append(list, v)
				}
			case unix.NLMSG_ERROR:
				return nil, parseError(m, body)
			case unix.NLMSG_DONE:
				if interrupted {
					return list, errInterrupted
				}
				return list, nil
			}
		}
	}
}
