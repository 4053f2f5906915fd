package daemon

import (
	"context"
	"errors"
	"runtime"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"

	"failoverd/bgp/gobgp"
	"failoverd/failover"
	"failoverd/failover/health"
	"failoverd/failover/kernel"
	"failoverd/failover/notify"
	"failoverd/failover/record"
	"failoverd/failover/witness"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// suspectLate is the lateness of a timer from which on the loop gives the readers a moment to hand over what waits in
// the sockets, before it believes that a peer is silent.
const suspectLate = 2 * time.Millisecond

// readyAfter is how long the start waits at most for the kernel to tell of every interface in the configuration. One
// that was not told of by then is missing, which must not keep systemd waiting.
const readyAfter = time.Second

// loop is the single owner of the core and of everything that is called without waiting.
type loop struct {
	agent    *Agent
	core     *record.Core
	fx       failover.Effects
	alarm    *alarm
	kernel   *kernel.Worker
	objects  *kernel.Objects
	devices  *kernel.Devices
	health   *health.Monitor
	notifier *notify.Notifier
	witness  *witness.Exchange
	told     chan struct{} // closed when everybody has been notified; nil before start
	crew     crew
	links    *links
	speakers *speakers
	caches   *caches
	heirs    testator
	started  func() error // constant after OnStart; nil: nobody wants to know

	askedAddresses, askedObjects bool // the core has asked for a set of them

	leaving int // how many routers were leaving when setFixtures was called last

	loaded   loadState
	answer   chan<- error // of the reload in this batch
	orders   orders
	drains   drainKeeper
	takes    *takeoverKeeper
	left     *leftovers
	up       handingOver
	staged   bool // another program has the roles until takeUp
	stopping bool
	parting  bool      // nobody waits for a successor any more: everything else may end
	stopped  bool      // the core says that the orderly stop is complete
	stopAt   time.Time // when the orderly stop was asked for; zero: nobody has
	limit    time.Time // Run ends then at the latest; zero: nobody has asked for the stop

	readyAt    vrrp.Instant // the start is complete then at the latest; Never: it is
	partAt     vrrp.Instant // the speakers are ended then
	touchAt    vrrp.Instant // the speakers' leases are renewed then
	watchdogAt vrrp.Instant // systemd's watchdog is told then
	watchdog   time.Duration
	publisher
}

func newLoop(a *Agent, cfg *failover.Config) (*loop, error) {
	now := monotonic()
	if a.recording = newRecording(cfg, a.log); a.succeeds() {
		a.recording.stage()
	}
	core, err := record.New(cfg, now, a.recording.begin(&a.opts))
	if err != nil {
		return nil, err
	}
	l := &loop{
		agent: a, core: core, loaded: loadState{at: time.Now()},
		readyAt: now.Add(readyAfter), partAt: vrrp.Never, watchdogAt: vrrp.Never,
		drains:    newDrainKeeper(a.drainDir(), a.log),
		left:      newLeftovers(a.drainDir(), a.log, a.note),
		takes:     newTakeoverKeeper(a.drainDir(), kernel.BootID(), a.log),
		publisher: publisher{bootID: kernel.BootID()}, heirs: newTestator(a.opts.Supervisor),
	}
	l.left.bar = gobgp.ReadersBar(&a.writes)
	if l.staged = a.succeeds(); l.staged {
		core.Await()
	}
	makeThreads(spareThreads)
	if l.alarm, err = newAlarm(); err != nil {
		return nil, err
	}
	if l.kernel, err = kernel.New(a.log, kernel.Options{Configured: configured(cfg), Bar: a.writes.RLocker()}); err != nil {
		l.alarm.close()
		return nil, err
	}
	if err := l.openKernel(); err != nil {
		l.alarm.close()
		return nil, errors.Join(err, l.kernel.Close())
	}
	listed := newDirectory()
	l.health = health.New(health.Options{Log: a.log, Lookup: listed.seen})
	l.notifier, l.witness = notify.New(a.log), witness.New(a.log)
	l.notifier.Bar = a.writes.RLocker()
	l.setFixtures()
	l.configure(cfg)
	l.links = newLinks(a, cfg)
	l.speakers = newSpeakers(a, &l.crew, listed)
	l.caches = newCaches(a, &l.crew)
	if d, err := sd.SdWatchdogEnabled(false); err == nil && d > 0 {
		l.watchdog, l.watchdogAt = d/3, now
	}
	return l, nil
}

// openKernel opens what else of the kernel is written to.
func (l *loop) openKernel() (err error) {
	if l.objects, err = kernel.NewObjects(l.agent.log, kernel.ObjectOptions{Bar: l.agent.writes.RLocker()}); err != nil {
		return err
	}
	if l.devices, err = kernel.NewDevices(l.agent.log); err != nil {
		return errors.Join(err, l.objects.Close())
	}
	l.devices.Bar = l.agent.writes.RLocker()
	if l.staged {
		l.devices.Stage()
	}
	return nil
}

// configure tells those that work by configuration, whatever the roles are.
func (l *loop) configure(cfg *failover.Config) {
	l.health.Configure(cfg)
	l.notifier.Configure(cfg)
	l.witness.Configure(cfg)
}

// setFixtures tells the worker of macvlan interfaces and of the packet filter what is to be there.
func (l *loop) setFixtures() {
	devices, refused := l.core.Fixtures()
	l.devices.Set(devices, refused, l.core.Config().NoAcceptCounters)
	l.leaving = l.core.Leaving()
}

// configured returns the keys of all addresses of a configuration.
func configured(cfg *failover.Config) []failover.AddressKey {
	var keys []failover.AddressKey
	for i := range cfg.Routers {
		for j := range cfg.Routers[i].Addresses {
			keys = append(keys, cfg.Routers[i].Addresses[j].Key())
		}
	}
	return keys
}

// OnStart makes Run call f, once, when no other agent stands in its way and the workers run. Nothing was sent or
// programmed until then, and an error ends Run with it. It must be called before Run.
func (a *Agent) OnStart(f func() error) { a.loop.started = f }

// run is the loop. It returns when an orderly stop, which the end of ctx asks for, is complete.
func (l *loop) run(ctx context.Context) error {
	if l.started != nil {
		if err := l.started(); err != nil {
			return err
		}
	}
	successor := l.agent.succeeds()
	for _, t := range l.takes.load(l.now(), time.Now()) {
		l.step(t)
	}
	for _, c := range l.drains.load(l.now(), time.Now()) {
		l.step(c) // before anything else: nobody is to become Active who must not
	}
	if successor {
		if err := l.takeUp(); err != nil {
			return err
		}
	}
	roles := l.inherit()
	l.heirs.soon(l.now())
	l.left.load()
	for _, r := range l.speakers.adopt(l.core.Config()) {
		l.step(r)
	}
	l.caches.adopt(l.core.Config())
	for _, lc := range l.links.openUnicast() {
		l.step(lc)
	}
	done := ctx.Done()
	l.batch()
	l.sweep(roles)
	for ; ; l.batch() {
		if l.stopped {
			return nil
		}
		if successor {
			if successor, l.staged = false, false; l.agent.opts.Supervisor.Taken() != nil {
				return errNotTaken
			}
			close(l.agent.turn)
		}
		if err := l.handOver(); err != nil {
			return err
		}
		if err := l.alarm.at(l.deadline()); err != nil {
			return err
		}
		select {
		case <-l.alarm.C:
			l.alarm.rang()
		case <-done:
			done = nil
			l.stop(ctx)
		case err := <-l.agent.fatal:
			return err
		case r := <-l.agent.reloads:
			l.reload(r)
		case o := <-l.agent.orders:
			l.take(o)
		case f := <-l.agent.calls:
			f()
		case o := <-l.agent.opts.Supervisor.Orders():
			l.obey(o)
		case o := <-l.agent.deaf:
			for _, lc := range l.links.reopen(o) {
				l.step(lc)
			}
		case in := <-l.agent.results:
			l.step(in)
		case in := <-l.agent.beats:
			l.beat(in)
		case p := <-l.agent.packets:
			l.receive(p)
		case in := <-l.agent.claims:
			l.drain() // first: what took the role may have been heard before it
			l.step(in)
		}
	}
}

// sweep makes the workers look for what a dead predecessor has left. Their first set does that, and what is wanted by then
// is no leftover: so it comes after the first batch, which asks for what is there whatever the roles are. Roles that are
// taken over ask for their addresses first.
func (l *loop) sweep(roles bool) {
	if !roles && !l.askedAddresses {
		l.kernel.Set(failover.DesiredAddresses{})
	}
	if l.heirs.sweepAt == vrrp.Never && !l.askedObjects {
		l.objects.Set(failover.DesiredObjects{})
	}
}

// batch takes what is ready, then fires what is due, then lets the effects out.
func (l *loop) batch() {
	l.batches++
	injectFaults()
	l.drain()
	l.witness.OpenMissing()
	now := l.now()
	for _, lc := range l.links.retry(now) {
		l.core.Step(now, lc, &l.fx)
	}
	if d := l.core.Deadline(); d <= now {
		late := now.Sub(d)
		l.lateMax = max(l.lateMax, late)
		if late > suspectLate {
			l.listen()
			now = l.now()
		}
		l.core.Expire(now, &l.fx)
	}
	l.core.Flush(now, &l.fx)
	l.perform(now)
	if l.core.Leaving() != l.leaving {
		l.setFixtures()
	}
	l.housekeeping(now)
	l.stopped = l.fx.Stopped
	l.fx.Reset()
}

// drain takes everything that waits, results first, but nothing that comes meanwhile: so a flood of packets delays
// neither results nor timers by more than the queue holds, and no timer fires before what was there first.
func (l *loop) drain() (n int) {
	results, beats, packets, claims := len(l.agent.results), len(l.agent.beats), len(l.agent.packets), len(l.agent.claims)
	for range results {
		l.step(<-l.agent.results)
	}
	for range beats {
		l.beat(<-l.agent.beats)
	}
	for range packets {
		l.receive(<-l.agent.packets)
	}
	for range claims { // last: an advertisement that takes the role comes before the announcements of who has it now
		l.step(<-l.agent.claims)
	}
	return results + beats + packets + claims
}

// listen is for a process that was not running for a while. What its peers sent meanwhile waits in the sockets, and
// inputs go before timers (V3-FSM-23).
func (l *loop) listen() {
	for range 2 {
		runtime.Gosched()
		time.Sleep(suspectLate / 4)
		if l.drain() == 0 {
			return
		}
	}
}

func (l *loop) receive(p packet) {
	if why := l.core.Receive(l.now(), p.link, p.p, &l.fx); why != wire.Accepted {
		l.links.refused(p, why)
	}
}

// beat feeds one heartbeat to the core. What follows from it for others is in its effects; the rest can wait for the next
// snapshot.
func (l *loop) beat(in failover.Input) { l.core.Step(l.now(), in, &l.fx) }

// step feeds one input to the core. A change of an interface opens or closes its sockets first.
func (l *loop) step(in failover.Input) {
	now := l.now()
	if c, ok := in.(failover.InterfaceChanged); ok {
		for _, lc := range l.links.interfaceChanged(c.Interface) {
			l.core.Step(now, lc, &l.fx)
		}
	}
	l.core.Step(now, in, &l.fx)
	l.publishSoon(now)
	if _, ok := in.(failover.RPKIReported); ok {
		l.heirs.soon(now) // it may only say that the data counts for longer
	}
}

// housekeeping renews what depends on the loop's life, and shows what it has done.
func (l *loop) housekeeping(now vrrp.Instant) {
	l.heirs.alive(now)
	l.writeWill(now)
	l.sweepObjects(now)
	if l.stopping {
		l.part(now)
	}
	if l.partAt <= now {
		l.partAt = vrrp.Never
		l.speakers.endAll()
	}
	if l.touchAt <= now {
		l.speakers.touch()
		l.touchAt = now.Add(max(l.core.Config().BGPLease/4, suspectLate))
	}
	if l.watchdogAt <= now {
		l.agent.notify.watchdog()
		l.watchdogAt = now.Add(l.watchdog)
	}
	if l.readyAt <= now || l.readyAt != vrrp.Never && l.links.seen() {
		l.readyAt = vrrp.Never
		l.agent.notify.ready()
	}
	if l.snapshotAt > now && l.answer == nil && len(l.orders.now) == 0 {
		return
	}
	l.agent.notify.again()
	l.publish(now)
	if l.answer != nil {
		l.answer <- nil
		l.answer = nil
	}
	l.answerOrders()
}

func (l *loop) deadline() vrrp.Instant {
	return min(l.core.Deadline(), l.up.at(), l.readyAt, l.partAt, l.touchAt, l.watchdogAt, l.snapshotAt, l.heirs.at, l.heirs.sweepAt)
}
