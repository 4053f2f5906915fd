package speaker

import (
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"failoverd/bgp/gobgp"
)

// stampSize is the size of one record in the lease pipe: the moment at which the agent's loop was alive, in nanoseconds
// of the boot clock, big-endian. The moment counts, not the arrival: records that waited in the pipe while both sides
// were frozen renew nothing. Writes this small are never torn (POSIX: PIPE_BUF).
const stampSize = 8

// lease is the speaker process's view of the agent's life.
type lease struct {
	length time.Duration // constant; 0: for ever
	alive  atomic.Int64  // boot clock, when the agent's loop was alive last
	// withdrew is called when watch has withdrawn everything; constant; nil: nobody wants to know.
	withdrew func()
}

// newLease returns a lease that runs from now.
func newLease(length time.Duration) *lease {
	l := &lease{length: length}
	l.alive.Store(int64(boottime()))
	return l
}

// lapsed reports whether the agent has been silent for longer than the lease.
func (l *lease) lapsed() bool {
	return l.length > 0 && boottime()-time.Duration(l.alive.Load()) > l.length
}

// read takes stamps until the pipe ends, and returns why it did: io.EOF when the agent closed it or died.
func (l *lease) read(from io.Reader) error {
	buf := make([]byte, 64*stampSize)
	have := 0
	for {
		n, err := from.Read(buf[have:])
		have += n
		if whole := have - have%stampSize; whole > 0 {
			l.alive.Store(int64(binary.BigEndian.Uint64(buf[whole-stampSize:])))
			have = copy(buf, buf[whole:have])
		}
		if err != nil {
			return err
		}
	}
}

// watch withdraws everything as soon as the lease lapses, and again and again while it stays so, in case something got
// in at the last moment. It returns an error when gobgp does not let it.
func (l *lease) watch(ctx context.Context, s gobgp.Server, log *slog.Logger) error {
	if l.length == 0 {
		<-ctx.Done()
		return ctx.Err()
	}
	tick := time.NewTicker(max(l.length/10, time.Millisecond))
	defer tick.Stop()
	fenced := false
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		lapsed := l.lapsed()
		if lapsed {
			err := bounded(time.Second, "withdraw everything", func() error { return gobgp.WithdrawAll(s) })
			if err != nil {
				return err
			}
			if l.withdrew != nil {
				l.withdrew()
			}
		}
		switch {
		case lapsed && !fenced:
			log.Error("the agent is silent: everything withdrawn", "lease", l.length.String())
		case !lapsed && fenced:
			log.Info("the agent is back")
		}
		fenced = lapsed
	}
}

// stamp encodes a moment for the pipe.
func stamp(at time.Duration) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(at))
}
