package daemon

import (
	"errors"
	"fmt"
	"io/fs"

	"failoverd/conf"
	"failoverd/failover"
	"failoverd/failover/status"
)

// Gather reads a configuration as a reload would, with everything that it includes, so that an agent can be asked about
// it.
func Gather(o LoadOptions) (*status.PlanRequest, *failover.Config, []conf.Diagnostic, error) {
	o.Strict = true
	cfg, diagnostics, src, err := load(o)
	if err != nil {
		return nil, nil, nil, err
	}
	return src.gather(o.File), cfg, diagnostics, nil
}

// Plan implements status.Source: what a reload with the configuration in q would do to this agent.
func (a *Agent) Plan(q *status.PlanRequest) (*status.PlanAnswer, error) {
	p := a.published.Load()
	if p == nil {
		return nil, errors.New("the agent is starting and has no configuration in force yet")
	}
	env, err := environment(&LoadOptions{File: q.File, ConfigID: a.opts.ConfigID})
	if err != nil {
		return nil, err
	}
	cfg, diagnostics := conf.Parse(q.File, newGathered(q), env, conf.Options{})
	answer := &status.PlanAnswer{Running: p.cfg.Hash, Refused: true, Entries: []failover.PlanEntry{}}
	if cfg != nil {
		answer = PlanAgainst(q.File, p.cfg, cfg)
	}
	var words []string
	for _, d := range diagnostics {
		words = append(words, d.String())
	}
	answer.Diagnostics = append(words, answer.Diagnostics...)
	return answer, nil
}

// PlanAgainst is Plan without an agent: what a reload with next would do to one that runs with old.
func PlanAgainst(file string, old, next *failover.Config) *status.PlanAnswer {
	answer := &status.PlanAnswer{Running: old.Hash, New: next.Hash, Entries: []failover.PlanEntry{}}
	if empties(old, next) {
		answer.New, answer.Refused = "", true
		answer.Diagnostics = []string{fmt.Sprintf("%s: error: %v", file, ErrEmpty)}
		return answer
	}
	answer.Entries = append(answer.Entries, failover.Plan(old, next)...)
	return answer
}

// configID is what the configuration of this agent is read as, now and at the next reload; empty: unknown.
func (a *Agent) configID() string {
	env, err := environment(&LoadOptions{File: a.opts.File, ConfigID: a.opts.ConfigID})
	if err != nil {
		return a.opts.ConfigID
	}
	return env.Identity()
}

// gathered is the conf.Source of a plan request: what is not in it does not exist.
type gathered struct {
	files map[string]*status.PlanFile
	globs map[string][]string
}

func newGathered(q *status.PlanRequest) *gathered {
	g := &gathered{files: make(map[string]*status.PlanFile, len(q.Files)), globs: q.Globs}
	for i := range q.Files {
		g.files[q.Files[i].Name] = &q.Files[i]
	}
	return g
}

// Read implements conf.Source.
func (g *gathered) Read(name string) ([]byte, error) {
	f := g.files[name]
	switch {
	case f == nil:
		return nil, fmt.Errorf("%s is not in the request (was it gathered for another config-id?): %w", name, fs.ErrNotExist)
	case f.Error != "":
		return nil, errors.New(f.Error)
	}
	return f.Content, nil
}

// Glob implements conf.Source.
func (g *gathered) Glob(pattern string) ([]string, error) { return g.globs[pattern], nil }
