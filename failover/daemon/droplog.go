package daemon

import (
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"failoverd/failover"
	"failoverd/vrrp/wire"
)

// dropLogGap is the least time between two log lines about drops for one reason on one link.
const dropLogGap = 10 * time.Second

// dropLog logs what goes wrong on one link, at most one line per reason in dropLogGap. The reader and the loop share it.
type dropLog struct {
	log  *slog.Logger
	link failover.LinkID

	mu     sync.Mutex
	last   [wire.NumDropReasons]time.Time
	missed [wire.NumDropReasons]uint64
	sent   time.Time
}

// note logs a dropped packet unless its reason was logged lately.
func (d *dropLog) note(why wire.DropReason, src netip.Addr, vrid uint8) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	if now.Sub(d.last[why]) < dropLogGap {
		d.missed[why]++
		return
	}
	d.log.Warn("packet dropped", "link", d.link.String(), "reason", why.String(), "src", src.String(), "vrid", vrid,
		"more_since_last", d.missed[why])
	d.last[why], d.missed[why] = now, 0
}

// failed logs a failed transmission unless one was logged lately.
func (d *dropLog) failed(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now := time.Now(); now.Sub(d.sent) >= dropLogGap {
		d.sent = now
		d.log.Warn("advertisement not sent", "link", d.link.String(), "err", err)
	}
}
