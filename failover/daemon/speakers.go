package daemon

import (
	"context"
	"net/netip"
	"os"
	"reflect"
	"time"

	"failoverd/bgp"
	"failoverd/bgp/gobgp"
	"failoverd/bgp/speaker"
	"failoverd/failover"
)

// respawnAfter is how long a speaker waits for another attempt that could not even make its directory.
const respawnAfter = 5 * time.Second

// speakers holds the running BGP speakers, by name. It is owned by the loop.
type speakers struct {
	agent   *Agent
	crew    *crew
	running map[string]*runningSpeaker
	listed  *directory                  // running, for others than the loop
	kept    map[string]*speaker.Process // of the life before, to go on with
	work    map[string]bool             // those of external gobgpds that work already, until they are started
	desired map[string]bgp.Desired      // as last set: a speaker that is replaced gets it again
}

// backend is a bgp.Speaker that can be changed while it works, asked for what it has heard, and told that the loop lives.
type backend interface {
	bgp.Speaker
	Reconfigure(bgp.SpeakerConfig) bool
	Seen(context.Context, netip.Prefix) (bgp.Sighting, error)
	Touch()
}

var _, _ backend = (*speaker.Supervised)(nil), (*speaker.External)(nil)

type runningSpeaker struct {
	cfg    bgp.SpeakerConfig
	lease  time.Duration
	sp     backend
	cancel context.CancelFunc
	done   <-chan struct{} // closed when it has withdrawn, closed its sessions, and its process is gone
}

func newSpeakers(a *Agent, c *crew, listed *directory) *speakers {
	return &speakers{agent: a, crew: c, listed: listed, running: make(map[string]*runningSpeaker), desired: make(map[string]bgp.Desired)}
}

// adopt starts the speakers of a configuration and ends those that it does not have, or has so differently that they
// cannot be changed while they run. What a change is not about - the process, other sessions - stays. It returns what is to be reported of those that cannot
// be started.
func (s *speakers) adopt(cfg *failover.Config) (reports []failover.SpeakerReported) {
	before := make(map[string]<-chan struct{})
	for name, r := range s.running {
		c := cfg.Speaker(name)
		if c == nil {
			delete(s.desired, name)
		}
		same := c != nil && r.lease == cfg.BGPLease
		if same && (reflect.DeepEqual(*c, r.cfg) || r.sp.Reconfigure(*c)) {
			r.cfg = *c
			continue
		}
		if !same || !reflect.DeepEqual(*c, r.cfg) {
			s.agent.log.Info("bgp speaker ends with its configuration", "speaker", name, "replaced", c != nil)
			before[name] = s.end(name)
		}
	}
	s.agent.loop.left.adopt(cfg.Speakers)
	for i := range cfg.Speakers {
		c := &cfg.Speakers[i]
		if s.running[c.Name] != nil {
			continue
		}
		if err := s.start(c, cfg.BGPLease, before[c.Name]); err != nil {
			// The routers live on, and status says why nothing is announced.
			s.agent.log.Error("speaker not started", "speaker", c.Name, "err", err)
			reports = append(reports, failed(c.Name, err))
		}
	}
	return reports
}

func failed(speaker string, err error) failover.SpeakerReported {
	return failover.SpeakerReported{Report: bgp.Report{Speaker: speaker, Err: err.Error()}}
}

// start runs a speaker once its predecessor, if there is one, has closed its sessions.
func (s *speakers) start(c *bgp.SpeakerConfig, lease time.Duration, before <-chan struct{}) error {
	sp, err := s.build(c, lease)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &runningSpeaker{cfg: *c, lease: lease, sp: sp, cancel: cancel}
	s.running[c.Name] = r
	s.listed.add(c.Name, sp)
	if d, ok := s.desired[c.Name]; ok {
		sp.Set(d)
	}
	r.done = s.crew.spawn("speaker "+c.Name, func() {
		if before != nil {
			<-before
		}
		s.agent.speak(ctx, c.Name, sp)
		if c.External != nil {
			s.agent.loop.left.end(c)
		}
	})
	return nil
}

// speak is the life of a speaker, until ctx ends. Its last report, that it is disconnected, comes after that: what it
// had announced is withdrawn then, which is what the core waits for before it lets addresses go.
func (a *Agent) speak(ctx context.Context, name string, sp backend) {
	for {
		err := sp.Run(ctx, func(rep bgp.Report) { a.deliver(failover.SpeakerReported{Report: rep}) })
		if err == nil || ctx.Err() != nil {
			return
		}
		// Nothing was started at all, so that Run may be called again.
		a.log.Error("speaker not started", "speaker", name, "err", err, "retry", respawnAfter.String())
		a.deliver(failed(name, err))
		select {
		case <-ctx.Done():
			return
		case <-time.After(respawnAfter):
		}
	}
}

// build makes a speaker. The socket of one with a process of its own has to have a short path: where the state directory's is too long, the one for
// temporary files serves.
func (s *speakers) build(c *bgp.SpeakerConfig, lease time.Duration) (backend, error) {
	if c.External != nil {
		return s.buildExternal(*c, lease)
	}
	cfg := speaker.Config{
		Speaker: *c, Command: s.agent.opts.SpeakerArgv, Version: s.agent.opts.Version, RunDir: s.agent.dir, Lease: lease, Log: s.agent.log, Bar: gobgp.ReadersBar(&s.agent.writes),
	}
	if link := s.agent.opts.Supervisor; link != nil {
		cfg.Keeper = speakerKeeper{link, c.Name, s.agent.opts.Version}
	}
	if p := s.kept[c.Name]; p != nil {
		delete(s.kept, c.Name)
		cfg.Adopt = p
	}
	sp, err := speaker.New(cfg)
	if err != nil {
		cfg.RunDir = os.TempDir()
		if second, e := speaker.New(cfg); e == nil {
			return second, nil
		}
	}
	return sp, err
}

// buildExternal makes a speaker on a gobgpd that outlives us: what it has of ours is remembered.
func (s *speakers) buildExternal(c bgp.SpeakerConfig, lease time.Duration) (backend, error) {
	left, goesOn := s.agent.loop.left, s.work[c.Name]
	delete(s.work, c.Name)
	return speaker.NewExternal(speaker.ExternalConfig{
		Speaker: c, Lease: lease, Log: s.agent.log, Bar: gobgp.ReadersBar(&s.agent.writes), GoesOn: goesOn,
		Known:    func() []gobgp.Placed { return left.begin(&c) },
		Placed:   func(p []gobgp.Placed) { left.note(&c, p) },
		Leftover: func(l speaker.Leftover) { s.agent.note(leftBehind(l)) },
	})
}

// end stops a speaker in order; it withdraws and says goodbye to its neighbors. It does not wait.
func (s *speakers) end(name string) (done <-chan struct{}) {
	r := s.running[name]
	r.cancel()
	delete(s.running, name)
	s.listed.remove(name)
	return r.done
}

// endAll stops every speaker in order, without waiting.
func (s *speakers) endAll() {
	for name := range s.running {
		s.end(name)
	}
}

// set gives a speaker its desired routes, now or as soon as it is there.
func (s *speakers) set(name string, d bgp.Desired) {
	s.desired[name] = d
	if r := s.running[name]; r != nil {
		r.sp.Set(d)
	}
}

// touch renews the lease that every speaker has on the life of the loop.
func (s *speakers) touch() {
	for _, r := range s.running {
		r.sp.Touch()
	}
}
