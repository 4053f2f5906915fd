package failovertest

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"failoverd/failover"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// World is a LAN of hosts with its own time, which starts at zero and moves from event to event in the order of (time,
// sequence). Everything that is left to chance is drawn from one source, so that a seed is a course of events.
type World struct {
	Hosts []*Host

	Queue
	rand     *rand.Rand
	paths    [][]Path // from, to
	mutation Mutation
	// supervised: agents may be killed while their supervisors live, so that there have to be wills.
	supervised bool
	// with are the extras of all hosts.
	with    []string
	checker *checker
	trace   io.Writer // nil: nobody listens
	configs map[string]*readings

	// What is used again: deliveries that have arrived, and packets that were read.
	arrived []*delivery
	packets []*wire.Packet
}

// delivery is a packet on its way.
type delivery struct {
	world   *World
	to      *Host
	header  wire.Header
	payload []byte
	arrive  func() // what happens then
}

// readings are what a file says, read twice: that a reload changes nothing is to be shown for two readings.
type readings [2]*failover.Config

// Path is what happens to packets from one host to another. The zero value delivers at once.
type Path struct {
	Cut       bool
	Delay     time.Duration // least time on the way
	Jitter    time.Duration // up to this much more
	Ordered   bool          // packets do not overtake each other
	Loss      float64       // chance that a packet is lost
	Duplicate float64       // chance that it comes twice
	Corrupt   float64       // chance that one bit is flipped

	last vrrp.Instant // when the last packet arrives
}

// Host is a machine: a kernel, and an agent while one runs.
type Host struct {
	Name   string
	Kernel *Kernel
	// Config is the text of the configuration file.
	Config string

	world *World
	index int
	agent *agent // nil: none runs

	succession *succession    // what is to become of the roles of an agent that was killed; nil: nothing
	deaths     []vrrp.Instant // that count
	short      int            // lives in a row that were shorter than longLife
	sensors    sensors        // of the extra "checks"
	health     health         // of the extra "anycast"
	rpki       cacheView      // of the extra "rpki"
	mood       mood
}

// mood is what keeps a host from being quick.
type mood struct {
	lateness time.Duration // of the agent's loop
	kernel   time.Duration // of its kernel worker
	hung     bool          // its speakers do not answer
}

// The usual delays, each up to that long.
const (
	loopDelay    = 200 * time.Microsecond
	workerDelay  = 3 * time.Millisecond
	resultDelay  = 500 * time.Microsecond
	speakerDelay = 5 * time.Millisecond
)

// NewWorld returns a world without hosts in which the seed decides what is left to chance.
func NewWorld(seed uint64, m Mutation, trace io.Writer) *World {
	w := &World{rand: rand.New(rand.NewPCG(seed, 0x5eed)), mutation: m, trace: trace, configs: make(map[string]*readings)}
	w.checker = newChecker(w)
	return w
}

// Add adds a host with an interface eth0 that has the given addresses. It is up, and no agent runs on it.
func (w *World) Add(name string, addresses ...netip.Prefix) *Host {
	h := &Host{Name: name, world: w, index: len(w.Hosts)}
	h.Kernel = newKernel(h, addresses)
	w.Hosts = append(w.Hosts, h)
	for i := range w.paths {
		w.paths[i] = append(w.paths[i], Path{})
	}
	w.paths = append(w.paths, make([]Path, len(w.Hosts)))
	return h
}

// Path returns the path from one host to another, to be changed in place.
func (w *World) Path(from, to *Host) *Path { return &w.paths[from.index][to.index] }

// Run lets time pass until the given instant. It ends early when a rule is broken.
func (w *World) Run(until vrrp.Instant) {
	for w.checker.broken == "" {
		do, ok := w.Next(until)
		if !ok {
			return
		}
		w.checker.addresses()
		do()
		w.checker.look()
	}
}

// config returns what a configuration file says.
func (w *World) config(text string) *failover.Config { return w.reading(text, nil) }

// reading is config for somebody who has a reading already: he gets another one than that.
func (w *World) reading(text string, has *failover.Config) *failover.Config {
	r := w.configs[text]
	if r == nil {
		r = new(readings)
		w.configs[text] = r
	}
	which := 0
	if has != nil && r[0] == has {
		which = 1
	}
	if r[which] == nil {
		r[which] = MustParseConfig(text)
	}
	return r[which]
}

// has reports whether the hosts have an extra.
func (w *World) has(extra string) bool { return len(w.with) > 0 && slices.Contains(w.with, extra) }

// upTo draws a duration in [0, d).
func (w *World) upTo(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(w.rand.Int64N(int64(d)))
}

func (w *World) happens(chance float64) bool { return chance > 0 && w.rand.Float64() < chance }

func (w *World) log(h *Host, format string, args ...any) {
	if w.trace == nil {
		return
	}
	name := "-"
	if h != nil {
		name = h.Name
	}
	fmt.Fprintf(w.trace, "%12s %s: %s\n", FormatInstant(w.now), name, fmt.Sprintf(format, args...))
}

// send puts an advertisement on the wire.
func (w *World) send(from *Host, a *failover.Advert) {
	if !from.Kernel.up("eth0") {
		return
	}
	payload := append([]byte(nil), a.Payload...)
	for _, to := range w.Hosts {
		if to != from && (a.Dst.IsMulticast() || to.Kernel.owns(a.Dst)) {
			w.carry(from, to, wire.Header{Src: a.Src, Dst: a.Dst, TTL: a.TTL}, payload)
		}
	}
}

// carry puts a packet on its way, as the path has it.
func (w *World) carry(from, to *Host, h wire.Header, payload []byte) {
	p := w.Path(from, to)
	if p.Cut || w.happens(p.Loss) {
		return
	}
	copies := 1
	if w.happens(p.Duplicate) {
		copies = 2
	}
	for range copies {
		b := payload
		if w.happens(p.Corrupt) {
			b = append([]byte(nil), payload...)
			b[w.rand.IntN(len(b))] ^= 1 << w.rand.IntN(8)
		}
		arrives := w.now.Add(p.Delay + w.upTo(p.Jitter))
		if p.Ordered {
			arrives = max(arrives, p.last)
		}
		p.last = arrives
		w.After(arrives.Sub(w.now), w.deliver(to, h, b))
	}
}

// deliver returns what happens when a packet arrives.
func (w *World) deliver(to *Host, h wire.Header, payload []byte) func() {
	var d *delivery
	if n := len(w.arrived); n > 0 {
		d, w.arrived = w.arrived[n-1], w.arrived[:n-1]
	} else {
		d = &delivery{world: w}
		d.arrive = func() {
			to, h, b := d.to, d.header, d.payload
			d.payload = nil
			d.world.arrived = append(d.world.arrived, d)
			to.hears(h, b)
		}
	}
	d.to, d.header, d.payload = to, h, payload
	return d.arrive
}

// packet returns memory for a packet, and done takes it back.
func (w *World) packet() *wire.Packet {
	n := len(w.packets)
	if n == 0 {
		return new(wire.Packet)
	}
	p := w.packets[n-1]
	w.packets = w.packets[:n-1]
	return p
}

func (w *World) done(p *wire.Packet) { w.packets = append(w.packets, p) }

// hears is what arrives at the host's interface.
func (h *Host) hears(hdr wire.Header, payload []byte) {
	if h.agent == nil || !h.Kernel.up("eth0") {
		return
	}
	link := failover.LinkID{Interface: "eth0", Family: wire.FamilyOf(hdr.Dst)}
	if !hdr.Dst.IsMulticast() {
		link.Interface = ""
	}
	if !h.agent.open[link] {
		return
	}
	p := h.world.packet()
	if h.world.read(payload, hdr, p) != wire.Accepted || !h.agent.arrivesPacket(packet{link: link, p: p}) {
		h.world.done(p)
	}
}

// read is what a reader makes of a packet.
func (w *World) read(payload []byte, hdr wire.Header, p *wire.Packet) wire.DropReason {
	if w.mutation == CarelessReader {
		hdr.TTL = wire.TTL
	}
	return wire.Parse(payload, hdr, p)
}

// announced is what the LAN hears of a gratuitous ARP or neighbor advertisement: everyone hears it.
func (w *World) announced(from *Host, a failover.LinkAnnouncement) {
	if from.Kernel.up(a.Interface) {
		w.checker.announced(from, a)
	}
}
