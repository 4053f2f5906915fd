package record

import (
	"fmt"
	"io"

	"failoverd/failover"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// Replay decides again what a recorded agent has decided.
type Replay struct {
	Reader *Reader
	// Inputs is how many packets and inputs there were so far, Calls how many calls of the core, Decisions how many of these
	// have made it decide anything.
	Inputs, Calls, Decisions int
	// Events are those of the last batch.
	Events []failover.Event
	// At is the instant of the last call; Wall is what the wall clock said less the instant.
	At   vrrp.Instant
	Wall int64
	// Difference is the first call whose decision is another one than the recorded; nil: there is none so far.
	Difference *Difference

	core    *failover.Core
	world   *world // nil: the recorded one
	fx      failover.Effects
	present []failover.AddressKey
	describer
}

// Difference is where a replay differs from what was recorded.
type Difference struct {
	Line               int          // of the recording
	At                 vrrp.Instant // of the call
	What               string       // the call, in words
	Recorded, Replayed Decision
}

// NewReplay begins a replay. With other, it is that of another configuration: what would have happened. Then reloads are
// left out, nothing is compared, and the kernel and the speakers do what they are asked to, except for the failures and
// the sessions that were recorded.
func NewReplay(r *Reader, other *failover.Config) (*Replay, error) {
	p := &Replay{Reader: r, At: r.Header.Start, Wall: r.Header.Wall - int64(r.Header.Start)}
	cfg := r.Config
	if other != nil {
		cfg, p.world = other, newWorld(p)
	}
	err := p.guard("the start", func() (err error) {
		p.core, err = failover.New(cfg, r.Header.Start)
		return err
	})
	return p, err
}

// Stopped reports whether the core has come to the end of an orderly stop.
func (p *Replay) Stopped() bool { return p.fx.Stopped }

// Next replays one batch. The error is io.EOF at the end, a *TornError where no more can be read, or says that the core
// cannot go on.
func (p *Replay) Next() error {
	l, err := p.Reader.next()
	if err != nil {
		return err
	}
	p.fx.Reset()
	p.Events = nil
	at := l.At
	for i := range l.Ops {
		o := &l.Ops[i]
		at = at.Add(durationOf(o.After))
		if err := p.op(at, o); err != nil {
			return fmt.Errorf("line %d: %w", p.Reader.number, err)
		}
	}
	p.Events = p.fx.Events
	return nil
}

// op replays one call.
func (p *Replay) op(at vrrp.Instant, o *op) error {
	if at < p.At {
		return fmt.Errorf("time goes back by %v", p.At.Sub(at))
	}
	if o.Wall != nil {
		p.Wall = *o.Wall
	}
	if p.world != nil {
		if err := p.guard("a timer", func() error { return p.world.pass(at) }); err != nil {
			return err
		}
	}
	p.At = at
	p.core.SetWallClock(p.Wall + int64(at))
	p.Calls++
	m := markOf(&p.fx)
	var refused uint8
	what := o.what()
	err := p.guard(what, func() (err error) {
		refused, err = p.call(at, o)
		return err
	})
	if err != nil {
		return err
	}
	return p.compare(at, o, m, refused)
}

// call makes the call.
func (p *Replay) call(at vrrp.Instant, o *op) (refused uint8, err error) {
	switch {
	case o.Packet != nil:
		link, w, err := o.Packet.decode()
		if err != nil {
			return 0, err
		}
		p.Inputs++
		return uint8(p.core.Receive(at, link, w, &p.fx)), nil
	case o.Input != "":
		in, err := decodeInput(o.Input, o.With, &p.present, p.Reader.configuration)
		if err != nil {
			return 0, err
		}
		p.Inputs++
		if p.world != nil {
			p.world.step(at, in)
			return 0, nil
		}
		p.core.Step(at, in, &p.fx)
		return 0, nil
	}
	switch o.Call {
	case callExpire:
		p.core.Expire(at, &p.fx)
	case callFlush:
		p.core.Flush(at, &p.fx)
		if p.world != nil {
			p.world.answer(at)
		}
	case callSnapshot:
		p.core.Snapshot(at, p.wall())
	case callTestament:
		p.core.Testament()
	case callInherit:
		var h inheritance
		if err := decode(o.Call, o.With, &h); err != nil {
			return 0, err
		}
		p.core.Inherit(at, h.Heirs, h.Resume, h.Died, h.Until)
	case callRecall:
		var r recall
		if err := decode(o.Call, o.With, &r); err != nil {
			return 0, err
		}
		_ = p.core.Recall(at, r.Origins, &p.fx) // what was refused changes nothing, and is refused again
	case callAwait:
		p.core.Await()
	case callUnready:
		p.core.Unready(at)
	case callTakeUp:
		var l failover.Legacy
		if err := decode(o.Call, o.With, &l); err != nil {
			return 0, err
		}
		_ = p.core.TakeUp(at, &l, &p.fx) // what was refused changes nothing, and is refused again
	default:
		return 0, fmt.Errorf("unknown call %q", o.Call)
	}
	return 0, nil
}

// compare holds what was decided against what was recorded.
func (p *Replay) compare(at vrrp.Instant, o *op, m mark, refused uint8) error {
	same, none := true, m.none(&p.fx)
	var d Decision
	if !none {
		p.Decisions++
	}
	if p.world != nil || p.Difference != nil {
		return nil
	}
	if !none {
		var err error
		if d, err = p.describe(&p.fx, m, true); err != nil {
			return err
		}
	}
	if r := o.Decision; none != (r == nil) || r != nil && r.Digest != d.Digest {
		same = false
	}
	if same && refused == o.Refused {
		return nil
	}
	p.Difference = &Difference{Line: p.Reader.number, At: at, What: o.what(), Replayed: d}
	if o.Decision != nil {
		p.Difference.Recorded = *o.Decision
	}
	if refused != o.Refused {
		p.Difference.Recorded.Words = append(p.Difference.Recorded.Words, "packet: "+wire.DropReason(o.Refused).String())
		p.Difference.Replayed.all = append(p.Difference.Replayed.all, []byte("packet: "+wire.DropReason(refused).String()))
	}
	return nil
}

// guard turns a panic of the core into an error: in a recording that somebody has made up there may be what no agent ever
// feeds its core.
func (p *Replay) guard(what string, f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%s makes the core panic: %v", what, v)
		}
	}()
	return f()
}

// what names the call.
func (o *op) what() string {
	switch {
	case o.Packet != nil:
		return fmt.Sprintf("advertisement from %v, VRID %d, priority %d", o.Packet.Src, o.Packet.VRID, o.Packet.Priority)
	case o.Input != "":
		return "input " + o.Input + " " + cut(o.With)
	}
	return o.Call
}

// All replays what is left, and calls f after each batch. It returns nil at the end.
func (p *Replay) All(f func()) error {
	for {
		err := p.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		f()
	}
}
