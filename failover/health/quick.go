package health

import (
	"context"
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"failoverd/failover"
)

// quick is a probe in steps, none of which waits for anything, so that one goroutine can make those of all checks: see sweep.
// One run goes on at a time, and all of it is used by the sweep only.
type quick interface {
	// start begins a run.
	start() step
	// ready goes on with a run that waits, when its socket may be ready. seen is when that was noticed, and a round trip ends then:
	// others that were ready, too, may have been looked after first.
	ready(seen time.Time) step
	// stop ends a run that waits, and closes its socket. It does nothing when none does.
	stop()
}

// step is how far a run has come: it has an outcome, it waits for a socket, or the rest of it has to go on elsewhere.
type step struct {
	outcome outcome
	waits   bool
	// What a run waits for that waits from its start on: the socket, and whether it must be able to write, too. It is ready when
	// that becomes true, and not again as long as it stays so.
	fd    int
	write bool
	// rest, unless it is nil, waits, as a prober does, and is called in a goroutine of its own. It owns all of the run; stop does
	// nothing to it.
	rest prober
}

// done is the last step of a run.
func done(o outcome) step { return step{outcome: o} }

// quickFor makes a quick probe; nil: there is none for what is asked.
type quickFor func(*failover.CheckConfig) quick

// newQuick returns the quick probe of a health_check that waits for nothing but its own sockets: it asks no resolver and no name
// server, enters no network namespace, reads no file, and looks up no interface for the zone of an address (for one that does not
// exist the kernel runs modprobe).
func newQuick(c *failover.CheckConfig) quick {
	if c.NetNamespace != "" {
		return nil
	}
	w := way{source: c.Source, device: c.Interface}
	p := &c.Probe
	switch p.Kind {
	case failover.ProbeLink:
		return instant(linkProber(p.Target, w))
	case failover.ProbeICMP:
		if a, ok := near(p.Target); ok {
			return &quickPing{pinger: pinger{host: p.Target, way: w}, to: a}
		}
	case failover.ProbeTCP:
		to, err := newTarget(p.Target, 0)
		if _, ok := near(to.host); ok && err == nil {
			return &quickKnock{way: w, to: netip.AddrPortFrom(to.address, to.port)}
		}
	case failover.ProbeHTTP:
		u, err := url.Parse(p.Target)
		if err != nil || u.Scheme != "http" {
			return nil
		}
		if _, ok := near(u.Hostname()); !ok {
			return nil
		}
		if web, err := newWeb(p, w); err == nil {
			return &quickWeb{web: web}
		}
	}
	return nil
}

// near returns the address that a host is, unless it takes time to find out.
func near(host string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(host)
	if err != nil {
		return a, false
	}
	if zone := a.Zone(); zone != "" {
		_, err = strconv.ParseUint(zone, 10, 32)
	}
	return a, err == nil
}

// instant is a quick probe that waits for nothing at all.
type instant prober

func (i instant) start() step          { return done(i(context.Background())) }
func (i instant) ready(time.Time) step { panic("a run that does not wait") }
func (i instant) stop()                {}

// errNotYet says that what is there is not enough.
var errNotYet = errors.New("not yet")
