package daemon

import (
	"context"
	"runtime/debug"
	"time"

	"failoverd/failover"
)

// thriftDelay is how long after its start an agent is thought to have done what it does only then.
const thriftDelay = 5 * time.Second

// beThrifty gives back, once, the memory that the start has used and nobody will need again: the text of the configuration,
// the command line, dumps of the kernel's tables. The runtime would keep it for the next collection, which an idle agent
// needs only every two minutes. An agent whose memory is locked or that has real-time priority keeps what it has: there a
// page that is missing costs more than one that is idle.
func beThrifty(ctx context.Context, p *failover.ProcessSettings) {
	if p.NoSwap || p.RealTime > 0 {
		return
	}
	delay := time.NewTimer(thriftDelay)
	defer delay.Stop()
	select {
	case <-ctx.Done():
	case <-delay.C:
		debug.FreeOSMemory()
	}
}
