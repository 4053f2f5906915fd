package lab

import (
	"errors"
	"fmt"
	"time"
)

// observe starts the witnesses: captures on the upstream's links and on the inter-region path, and a watch on every
// kernel that matters.
func (w *world) observe() (err error) {
	w.bgp = make(map[string]*Capture)
	for _, m := range w.machines {
		if w.bgp[m.name], err = w.up.Capture("to-" + m.name); err != nil {
			return err
		}
		if m.watch, err = m.node.Watch(w.onChange); err != nil {
			return err
		}
	}
	if w.lan, err = w.wan.Capture("mainland"); err != nil {
		return err
	}
	if _, err = w.up.Watch(w.onUpstreamChange); err != nil {
		return err
	}
	w.probe, err = w.client.Probe(demoVIP)
	return err
}

// boot starts the agent of a machine.
func (w *world) boot(m *machine, binary string) error {
	p, err := m.node.Start(Command{
		Name: "failoverd", Argv: []string{binary, "run", "-f", m.conf}, Env: []string{"FAILOVERD_STATE_DIR=" + m.state},
	})
	if err == nil {
		m.proc.Store(p)
		m.alive = true
	}
	return err
}

// kill kills a machine's agent and its children.
func (w *world) kill(m *machine) error {
	m.alive = false
	return m.proc.Load().Kill()
}

// died returns an error when a process that is meant to run has ended: no need to wait for what it should bring about.
func (w *world) died() error {
	all := []*Process{w.upstream.Load()}
	for _, m := range w.agents() {
		if m.alive {
			all = append(all, m.proc.Load())
		}
	}
	for _, p := range all {
		if !p.Running() {
			return fmt.Errorf("%s has ended by itself: %v", p.Name(), p.state)
		}
	}
	return nil
}

// running reports whether the machine's agent runs.
func (m *machine) running() bool {
	p := m.proc.Load()
	return p != nil && p.Running()
}

// sessions returns how the upstream's sessions have changed so far.
func (w *world) sessions() []sessionChange {
	if p := w.upstream.Load(); p != nil {
		return parseSessions(p.Log())
	}
	return nil
}

// powerCut silences the machines at once: no FIN, no last advertisement. What the switches swallow is gone before any
// process dies. It returns the time before the first port fell silent.
func (w *world) powerCut(machines []*machine) (time.Time, error) {
	var ports []*Port
	for _, m := range machines {
		ports = append(ports, m.ports...)
	}
	at := time.Now()
	err := Cut(ports...)
	for _, m := range machines {
		err = errors.Join(err, w.kill(m))
	}
	return at, err
}

// powerOn brings the machines back as a boot would: what their agents had programmed is gone, and the switches carry
// their frames again.
func (w *world) powerOn(machines []*machine) error {
	var errs []error
	for _, m := range machines {
		has, err := m.node.HasAddress(demoVIP)
		if has {
			err = m.node.DeleteAddress("lo", demoVIP.String()+"/32")
		}
		errs = append(errs, err, Mend(m.ports...))
	}
	return errors.Join(errs...)
}
