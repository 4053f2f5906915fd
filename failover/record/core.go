package record

import (
	"encoding/json"
	"strconv"
	"time"

	"failoverd/failover"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// Core is a failover.Core that has everything recorded which it is told and decides, or nothing. It is as little safe for
// concurrent use.
type Core struct {
	*failover.Core
	tap *tap // nil: nothing is recorded
}

// Sink takes the lines of a recording, in order. It never waits; false means that it takes nothing any more, and a
// recording with a hole would be worth nothing, so this is its end.
type Sink func(Entry) bool

// Start says what begins a recording, besides the configuration.
type Start struct {
	Header
	Random Random // makes substitutes of secrets
	Sink   Sink
}

// New is failover.New, with a recording that begins at once; nil: there is none. Start and Format of the header are set.
func New(cfg *failover.Config, now vrrp.Instant, start *Start) (*Core, error) {
	core, err := failover.New(cfg, now)
	if err != nil {
		return nil, err
	}
	c := &Core{Core: core}
	if start == nil {
		return c, nil
	}
	h := start.Header
	h.Format, h.Start = Format, now
	t := &tap{sink: start.Sink, random: start.Random, last: now, offset: h.Wall - int64(now)}
	t.adopt(cfg)
	if t.sink(Entry{header: &h, config: cfg, secrets: t.secrets}) {
		c.tap = t
	}
	return c, nil
}

// Recording reports whether there is a recording that has not ended.
func (c *Core) Recording() bool { return c.tap != nil }

// SetWallClock is that of failover.Core.
func (c *Core) SetWallClock(wall int64) {
	c.Core.SetWallClock(wall)
	if c.tap != nil {
		c.tap.wall = wall
	}
}

// Receive is that of failover.Core.
func (c *Core) Receive(now vrrp.Instant, link failover.LinkID, p *wire.Packet, fx *failover.Effects) wire.DropReason {
	t := c.tap
	if t == nil {
		return c.Core.Receive(now, link, p, fx)
	}
	t.begin(now)
	t.buf = appendPacket(append(t.buf, `"packet":`...), link, p, t.secrets)
	m := markOf(fx)
	why := c.Core.Receive(now, link, p, fx)
	if why != wire.Accepted {
		t.buf = appendNumber(t.buf, `,"refused":`, uint64(why))
	}
	c.end(fx, m)
	return why
}

// Step is that of failover.Core.
func (c *Core) Step(now vrrp.Instant, in failover.Input, fx *failover.Effects) {
	t := c.tap
	if t == nil {
		c.Core.Step(now, in, fx)
		return
	}
	if r, ok := in.(failover.Reconfigured); ok && !c.reconfigured(r.Config) {
		c.Core.Step(now, in, fx)
		return
	}
	t.begin(now)
	kind, with, err := encodeInput(in, &t.present, t.configs)
	t.fail(err)
	t.buf = appendText(append(t.buf, `"input":`...), kind)
	t.buf = append(append(t.buf, `,"with":`...), with...)
	m := markOf(fx)
	c.Core.Step(now, in, fx)
	c.end(fx, m)
}

// reconfigured records another configuration, and reports whether the recording goes on.
func (c *Core) reconfigured(cfg *failover.Config) bool {
	t := c.tap
	t.configs++
	t.adopt(cfg)
	if !t.sink(Entry{config: cfg, number: t.configs, secrets: t.secrets}) {
		c.tap = nil
	}
	return c.tap != nil
}

// Expire is that of failover.Core.
func (c *Core) Expire(now vrrp.Instant, fx *failover.Effects) {
	c.call(now, callExpire, nil)
	m := markOf(fx)
	c.Core.Expire(now, fx)
	c.end(fx, m)
}

// Flush is that of failover.Core. It ends the batch.
func (c *Core) Flush(now vrrp.Instant, fx *failover.Effects) {
	c.call(now, callFlush, nil)
	m := markOf(fx)
	c.Core.Flush(now, fx)
	c.end(fx, m)
	c.batch()
}

// Snapshot is that of failover.Core. It is recorded because nobody promises that to look changes nothing.
func (c *Core) Snapshot(now vrrp.Instant, wall func(vrrp.Instant) time.Time) *failover.Snapshot {
	c.call(now, callSnapshot, nil)
	s := c.Core.Snapshot(now, wall)
	c.end(nil, mark{})
	return s
}

// Testament is that of failover.Core.
func (c *Core) Testament() failover.Testament {
	if c.tap != nil {
		c.call(c.tap.last, callTestament, nil)
	}
	t := c.Core.Testament()
	c.end(nil, mark{})
	return t
}

// Inherit is that of failover.Core.
func (c *Core) Inherit(now vrrp.Instant, heirs []failover.Heir, resume bool, died, until vrrp.Instant) {
	c.call(now, callInherit, inheritance{heirs, resume, died, until})
	c.Core.Inherit(now, heirs, resume, died, until)
	c.end(nil, mark{})
}

// Recall is that of failover.Core.
func (c *Core) Recall(now vrrp.Instant, origins []failover.LegacyOrigin, fx *failover.Effects) error {
	c.call(now, callRecall, recall{origins})
	m := markOf(fx)
	err := c.Core.Recall(now, origins, fx)
	c.end(fx, m)
	return err
}

// Await is that of failover.Core.
func (c *Core) Await() {
	if c.tap == nil {
		c.Core.Await()
		return
	}
	c.call(c.tap.last, callAwait, nil)
	c.Core.Await()
	c.end(nil, mark{})
}

// Unready is that of failover.Core.
func (c *Core) Unready(now vrrp.Instant) string {
	c.call(now, callUnready, nil)
	why := c.Core.Unready(now)
	c.end(nil, mark{})
	return why
}

// TakeUp is that of failover.Core.
func (c *Core) TakeUp(now vrrp.Instant, l *failover.Legacy, fx *failover.Effects) error {
	c.call(now, callTakeUp, l)
	m := markOf(fx)
	err := c.Core.TakeUp(now, l, fx)
	c.end(fx, m)
	return err
}

// call records a call that is neither a packet nor an input, before it is made: if the core panics, it is known where.
func (c *Core) call(now vrrp.Instant, name string, with any) {
	t := c.tap
	if t == nil {
		return
	}
	t.begin(now)
	t.buf = append(append(append(t.buf, `"call":"`...), name...), '"')
	if with != nil {
		text, err := json.Marshal(with)
		t.fail(err)
		t.buf = append(append(t.buf, `,"with":`...), text...)
	}
}

// end ends the record of a call with what was decided; nil: that is nothing.
func (c *Core) end(fx *failover.Effects, m mark) {
	t := c.tap
	if t == nil {
		return
	}
	if fx != nil && !m.none(fx) {
		d, err := t.describer.describe(fx, m, false)
		t.fail(err)
		text, err := json.Marshal(&d)
		t.fail(err)
		t.buf = append(append(t.buf, `,"decided":`...), text...)
	}
	t.buf, t.open = append(t.buf, '}'), false
}

// Abandon hands over what was recorded of a batch that does not come to its end, because the agent ends, or because the core
// has panicked: then the last call is the one that made it, and a replay panics, too. It belongs after everything else.
func (c *Core) Abandon() {
	t := c.tap
	if t == nil {
		return
	}
	if t.open {
		t.buf = append(t.buf, '}')
	}
	c.batch()
	c.tap = nil
}

// batch hands a line over.
func (c *Core) batch() {
	t := c.tap
	if t == nil || len(t.buf) == 0 {
		return
	}
	e := Entry{text: append(t.buf, "]}"...)}
	if t.err != nil {
		t.sink(End(t.err.Error()))
		c.tap = nil
		return
	}
	if !t.sink(e) {
		c.tap = nil
	}
	t.buf = make([]byte, 0, min(cap(t.buf), 4096))
}

// tap makes lines. It is part of a Core.
type tap struct {
	sink   Sink
	random Random
	buf    []byte // of the line; empty: it has not begun
	open   bool   // a call has begun and not ended
	err    error  // the first one in this line

	last    vrrp.Instant // of the call before
	wall    int64        // as told last; 0: never
	offset  int64        // wall less instant, as recorded last
	signed  bool         // the wall clock counts
	configs int          // number of the newest configuration
	secrets *secrets
	present []failover.AddressKey
	describer
}

// clockStep is by how much the wall clock must have moved to be recorded when nothing depends on it.
const clockStep = int64(time.Millisecond)

func (t *tap) adopt(cfg *failover.Config) {
	t.secrets = t.secrets.learn(cfg, t.random)
	t.signed = len(t.secrets.keys) > 0
}

func (t *tap) fail(err error) {
	if t.err == nil {
		t.err = err
	}
}

// begin begins the record of a call at now, and the line if it is the first one.
func (t *tap) begin(now vrrp.Instant) {
	t.open = true
	if len(t.buf) == 0 {
		t.buf = strconv.AppendInt(append(t.buf, `{"at":`...), int64(now), 10)
		t.buf = append(t.buf, `,"ops":[{`...)
	} else {
		t.buf = append(t.buf, ",{"...)
		if d := now.Sub(t.last); d != 0 {
			t.buf = strconv.AppendInt(append(t.buf, `"after":`...), int64(d), 10)
			t.buf = append(t.buf, ',')
		}
	}
	t.last = now
	if t.wall == 0 {
		return
	}
	o := t.wall - int64(now)
	if moved := o - t.offset; moved != 0 && (t.signed || moved > clockStep || moved < -clockStep) {
		t.offset = o
		t.buf = strconv.AppendInt(append(t.buf, `"wall":`...), o, 10)
		t.buf = append(t.buf, ',')
	}
}
