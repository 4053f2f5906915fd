package daemon

import (
	"context"
	"slices"

	"failoverd/bgp"
	"failoverd/bgp/rpki"
	"failoverd/failover"
)

// caches holds the sessions with RPKI caches, by speaker. They are the agent's and not the speaker process's: what they say
// is for the core to judge, and outlives a speaker that dies. It is owned by the loop.
type caches struct {
	agent   *Agent
	crew    *crew
	running map[string]*runningCaches
}

type runningCaches struct {
	cfg    rpki.Config
	client *rpki.Client
	cancel context.CancelFunc
}

func newCaches(a *Agent, c *crew) *caches {
	return &caches{agent: a, crew: c, running: make(map[string]*runningCaches)}
}

// adopt makes the sessions those of a configuration. A session that stays goes on.
func (s *caches) adopt(cfg *failover.Config) {
	for name, r := range s.running {
		if c := cfg.Speaker(name); c == nil || len(c.RPKICaches) == 0 {
			r.cancel()
			delete(s.running, name)
		}
	}
	for i := range cfg.Speakers {
		c := &cfg.Speakers[i]
		if len(c.RPKICaches) > 0 {
			s.keep(rpki.Config{Speaker: c.Name, Caches: c.RPKICaches, Prefixes: c.Allow})
		}
	}
}

// keep starts the sessions of one speaker, or changes them.
func (s *caches) keep(cfg rpki.Config) {
	if r := s.running[cfg.Speaker]; r != nil {
		if !slices.Equal(r.cfg.Caches, cfg.Caches) || !slices.Equal(r.cfg.Prefixes, cfg.Prefixes) {
			r.cfg = cfg
			r.client.Reconfigure(cfg)
		}
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &runningCaches{cfg: cfg, client: rpki.New(cfg, s.agent.log, rpki.Options{}), cancel: cancel}
	s.running[cfg.Speaker] = r
	s.crew.spawn("rpki "+cfg.Speaker, func() {
		r.client.Run(ctx, func(rep bgp.RPKIReport) { s.agent.deliver(failover.RPKIReported{Report: rep}) })
	})
}

// endAll ends every session, without waiting.
func (s *caches) endAll() {
	for name, r := range s.running {
		r.cancel()
		delete(s.running, name)
	}
}
