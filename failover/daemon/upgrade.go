package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"

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
		defer func() { <-a.upgrading }()
	default:
		return refused(errors.New("another upgrade is under way"))
	}
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
	if err := a.judge(ctx, c, q); err != nil {
		return refused(err)
	}
	switch answer.To = c.Version; {
	case q.Check:
		return answer, nil
	case q.Drain:
		return answer, link.Restart(c.path, c.file)
	}
	if err := a.handTo(ctx, c); err != nil {
		return refused(err)
	}
	return answer, nil
}

// candidatePath returns where the program is that is to take over.
func (a *Agent) candidatePath(q *status.UpgradeRequest) (string, error) {
	if path := cmp.Or(q.Binary, a.opts.Supervisor.Program()); path != "" {
		return path, nil
	}
	return os.Executable()
}

// judge says why a program cannot take over. To start it afresh takes less.
func (a *Agent) judge(ctx context.Context, c *candidate, q *status.UpgradeRequest) error {
	if err := c.introduce(ctx); err != nil {
		return err
	}
	if err := c.check(ctx, a.opts.File, a.opts.ConfigID); err != nil || q.Drain {
		return err
	}
	const instead = "; upgrade --drain restarts in order instead"
	if why := c.mismatch(); why != "" {
		return errors.New(why + instead)
	}
	if q.Reload {
		if _, err := a.Reload(ctx); err != nil {
			return fmt.Errorf("version %s, which works, cannot use the configuration: %w", a.opts.Version, err)
		}
	}
	cfg, _, err := a.load()
	if err != nil {
		return fmt.Errorf("the configuration file has changed, and cannot be used: %w", err)
	}
	bar := ""
	if err := a.call(ctx, func() {
		if bar = a.loop.core.HandoverBar(); bar == "" && a.loop.core.Config().Hash != cfg.Hash {
			bar = "the configuration file has changed since it was loaded: reload first"
		} else if bar != "" {
			bar += instead
		}
	}); err != nil {
		return err
	}
	if bar != "" {
		return errors.New(bar)
	}
	return nil
}

// handTo has c take over, and returns when it has, or why it has not.
func (a *Agent) handTo(ctx context.Context, c *candidate) error {
	if err := errors.Join(a.loop.drains.settled(ctx), a.loop.takes.settled(ctx)); err != nil {
		a.log.Warn("the program that takes over may not know of a drain or takeover", "err", err)
	}
	outcome := make(chan error, 1)
	var sent error
	if err := a.call(ctx, func() {
		a.loop.up = handingOver{version: c.Version, outcome: outcome}
		if sent = a.opts.Supervisor.Upgrade(c.path, c.file); sent != nil {
			a.loop.up = handingOver{}
		}
	}); err != nil || sent != nil {
		return errors.Join(err, sent)
	}
	select {
	case err := <-outcome:
		return err
	case <-a.over:
		return ErrStopped
	case <-ctx.Done():
		return fmt.Errorf("wait for the other program: %w", ctx.Err())
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
