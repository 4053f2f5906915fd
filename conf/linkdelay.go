package conf

import (
	"time"

	"failoverd/failover"
)

// linkDelay is the draft of a line of interface_up_down_delays.
type linkDelay struct {
	at       Token // the name of the interface
	down, up field[time.Duration]
}

// maxLinkDelay is keepalived's.
const maxLinkDelay = 255 * time.Second

// linkDelays decodes lines of INTERFACE DOWN [UP]. UP is 0 if it is left out, as keepalived does it; its manual says
// otherwise.
func (d *decoder) linkDelays(c *cursor) {
	for _, l := range d.body(c) {
		c := &cursor{words: l.Words, inline: l.Inline, block: l.Block}
		c.known = func(Token) bool { return false }
		// Where lines share one with a brace, a word that is no number is the next interface.
		c.head = func(w Token) bool { _, number := parseSeconds(w.Text); return c.inline && !number }
		for c.more() {
			c.keyword = c.take()
			if d.misplaced(c, "interface_up_down_delays") {
				break
			}
			ld := linkDelay{at: c.keyword}
			valid := d.isDevice(ld.at, "interface_up_down_delays")
			ld.down.set(d.seconds(c, 0, maxLinkDelay))
			if c.value() {
				ld.up.set(d.seconds(c, 0, maxLinkDelay))
			}
			d.surplus(c)
			if valid && d.define("delay of an interface", "interface_up_down_delays", ld.at) {
				d.delays = append(d.delays, ld)
			}
		}
		d.noBlock(c)
	}
}

// resolveDelays fills in how long changes of interfaces must last.
func (d *decoder) resolveDelays(cfg *failover.Config) {
	for _, ld := range d.delays {
		if cfg.LinkDelays == nil {
			cfg.LinkDelays = map[string]failover.LinkDelay{}
		}
		cfg.LinkDelays[ld.at.Text] = failover.LinkDelay{Down: ld.down.or(0), Up: ld.up.or(0)}
	}
}
