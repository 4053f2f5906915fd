package daemon

import (
	"errors"

	"failoverd/bgp/speaker"
	"failoverd/failover/supervisor"
)

// speakerKeeper has the supervisor keep a speaker's process for the next life of the agent.
type speakerKeeper struct {
	link    *supervisor.Link
	name    string
	version string // of the program that the process runs
}

// Keep implements speaker.Keeper.
func (k speakerKeeper) Keep(pid int, dir string, lease, log int) error {
	return k.link.Keep(supervisor.Kept{Name: k.name, PID: pid, Place: dir, Version: k.version}, lease, log)
}

// Drop implements speaker.Keeper.
func (k speakerKeeper) Drop() error { return k.link.Drop(k.name) }

// goOnWith notes which external gobgpds work for the program before as this one wants them: their sessions and routes stay.
func (s *speakers) goOnWith(names []string) {
	s.work = make(map[string]bool, len(names))
	for _, name := range names {
		s.work[name] = true
	}
}

// goOn takes the speakers over that the supervisor has kept, or ends them.
func (s *speakers) goOn(link *supervisor.Link, with bool) {
	for _, k := range link.Kept() {
		if with && s.agent.loop.core.Config().Speaker(k.Name) != nil {
			if s.kept == nil {
				s.kept = make(map[string]*speaker.Process)
			}
			s.kept[k.Name] = &speaker.Process{PID: k.PID, Dir: k.Place, Lease: k.Life, Log: k.Log, Version: k.Version}
			continue
		}
		if err := errors.Join(link.Drop(k.Name), k.Life.Close(), k.Log.Close()); err != nil {
			s.agent.log.Warn("a BGP speaker of the life before is not let go of", "speaker", k.Name, "err", err)
		}
	}
}
