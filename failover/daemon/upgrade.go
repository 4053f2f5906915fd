package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"failoverd/failover/status"
)

// Upgrade implements status.Upgrader: another program takes the place of this one and of its supervisor. Everything that
// can fail comes before anything that is live is touched, and until the other one has taken over this one goes on.
func (a *Agent) Upgrade(ctx context.Context, q *status.UpgradeRequest) (*status.UpgradeAnswer, error) {
	refused := func(err error) (*status.UpgradeAnswer, error) {
		a.log.Error("upgrade refused", "err", err)
		if answer, ok := err.(*status.AnswerError); ok {
			return nil, answer
		}
		return nil, &status.AnswerError{Code: status.Refused, Text: err.Error()}
	}
	select {
	case a.upgrading <- struct{}{}:
	default:
		return refused(errors.New("another upgrade is under way"))
	}
	var pending <-chan error
	defer func() { a.upgradeOver(pending) }()
	link := a.opts.Supervisor
	if link == nil {
		return refused(errors.New("this agent has no supervisor"))
	}
	path, err := a.candidatePath(q)
	if err != nil {
		return refused(err)
	}
	c, err := examine(path)
	if err != nil {
		return refused(err)
	}
	defer c.close()
	answer := &status.UpgradeAnswer{Binary: c.path, From: a.opts.Version}
	if q.IfChanged && c.same {
		answer.Nothing, answer.To = true, a.opts.Version
		return answer, nil
	}
	within, err := a.judge(ctx, c, q)
	if err != nil {
		return refused(err)
	}
	switch answer.To, answer.SwitchMS = c.Version, within.Milliseconds(); {
	case q.Check:
		return answer, nil
	case q.Drain:
		return answer, link.Restart(c.path, c.file)
	}
	if pending, err = a.handTo(ctx, c); err != nil {
		return refused(err)
	}
	return answer, nil
}

// upgradeOver lets another upgrade begin: now, or when it is known what has become of this one, which is pending.
func (a *Agent) upgradeOver(pending <-chan error) {
	if pending == nil {
		<-a.upgrading
		return
	}
	go func() {
		select {
		case err := <-pending:
			a.log.Warn("an upgrade that nobody waited for any more is over", "err", err)
			<-a.upgrading
		case <-a.over:
		}
	}()
}

// candidatePath returns where the program is that is to take over.
func (a *Agent) candidatePath(q *status.UpgradeRequest) (string, error) {
	if path := cmp.Or(q.Binary, a.opts.Supervisor.Program()); path != "" {
		return path, nil
	}
	return os.Executable()
}

// instead is what can be done about a refusal.
const instead = "; upgrade --drain restarts in order instead"

// judge says why a program cannot take over, or how long the switch may take at least. To start it afresh takes less.
func (a *Agent) judge(ctx context.Context, c *candidate, q *status.UpgradeRequest) (within time.Duration, err error) {
	if err := c.introduce(ctx); err != nil {
		return 0, err
	}
	if err := c.check(ctx, a.opts.File, a.opts.ConfigID); err != nil || q.Drain {
		return 0, err
	}
	if why := c.mismatch(); why != "" {
		return 0, errors.New(why + instead)
	}
	hash, err := a.configFor(ctx, c, q)
	if err != nil {
		return 0, err
	}
	bar := ""
	if err := a.call(ctx, func() {
		core := a.loop.core
		interval := core.Testament().Interval
		within = switchTime(0, 0, leastLeases(core.Core, 0), interval)
		if bar = core.HandoverBar(); bar == "" {
			bar = hasty(within, interval)
		}
		if bar != "" {
			bar += instead
		} else if core.Config().Hash != hash {
			bar = "the configuration file has changed since it was loaded: reload first"
		}
	}); err != nil {
		return 0, err
	}
	if bar != "" {
		return 0, errors.New(bar)
	}
	return within, nil
}

// configFor returns the hash of the configuration that c begins with: that of the file. If the file is to be loaded afterwards, and
// says something else by now, c gets the text of the configuration in force; this program need not understand the file. One that
// would not look for it begins with the file, and so this program loads it before.
func (a *Agent) configFor(ctx context.Context, c *candidate, q *status.UpgradeRequest) (hash string, err error) {
	running := ""
	if p := a.published.Load(); p != nil {
		running = p.cfg.Hash
	}
	cfg, _, err := a.load()
	switch {
	case err == nil && (cfg.Hash == running || !q.Reload):
		return cfg.Hash, nil
	case !q.Reload:
		return "", fmt.Errorf("the configuration file has changed, and cannot be used: %w", err)
	}
	if c.text = a.opts.Sources.of(running); c.text != nil && slices.Contains(c.Abilities, beginsWithText) {
		return running, nil
	}
	c.text = nil
	if _, err := a.Reload(ctx); err != nil {
		return "", fmt.Errorf("version %s, which works, cannot use the configuration: %w", a.opts.Version, err)
	}
	if cfg, _, err = a.load(); err != nil {
		return "", err
	}
	return cfg.Hash, nil
}

// handTo has c take over, and returns when it has, or why it has not. If ctx ends before that is known, pending says so later.
func (a *Agent) handTo(ctx context.Context, c *candidate) (pending <-chan error, err error) {
	if err := errors.Join(a.loop.drains.settled(ctx), a.loop.takes.settled(ctx)); err != nil {
		a.log.Warn("the program that takes over may not know of a drain or takeover", "err", err)
	}
	if err := leaveInherited(a.dir, c.text); err != nil {
		return nil, fmt.Errorf("leave the configuration in force to the other program: %w", err)
	}
	defer func() {
		if c.text != nil && err != nil && pending == nil { // it may not have got that far
			err = errors.Join(err, leaveInherited(a.dir, nil))
		}
	}()
	outcome := make(chan error, 1)
	var sent error
	if err := a.call(ctx, func() {
		a.loop.up = handingOver{version: c.Version, outcome: outcome}
		if sent = a.opts.Supervisor.Upgrade(c.path, c.file); sent != nil {
			a.loop.up = handingOver{}
		}
	}); err != nil || sent != nil {
		return nil, errors.Join(err, sent)
	}
	select {
	case err := <-outcome:
		return nil, err
	case <-a.over:
		return nil, ErrStopped
	case <-ctx.Done():
		return outcome, fmt.Errorf("wait for the other program, which may take over yet: %w", ctx.Err())
	}
}

// call has the loop run f, and waits for it.
func (a *Agent) call(ctx context.Context, f func()) error {
	done := make(chan struct{})
	select {
	case a.calls <- func() { f(); close(done) }:
	case <-a.over:
		return ErrStopped
	case <-ctx.Done():
		return fmt.Errorf("speak to the loop: %w", ctx.Err())
	}
	select {
	case <-done:
		return nil
	case <-a.over: // it may have ended with f still to be run
		return ErrStopped
	}
}
