package gobgp

import (
	"sync"
	"time"
)

// Bar keeps Clients from asking their servers for anything, while somebody else holds it: see Options.Bar.
type Bar interface {
	sync.Locker
	// TryLock is Lock if that need not wait.
	TryLock() bool
}

// ReadersBar is the bar that whoever locks l for writing holds.
func ReadersBar(l *sync.RWMutex) Bar { return readers{l} }

type readers struct{ l *sync.RWMutex }

func (r readers) Lock()         { r.l.RLock() }
func (r readers) Unlock()       { r.l.RUnlock() }
func (r readers) TryLock() bool { return r.l.TryRLock() }

// barLook is how often a session that is kept waiting looks whether it still has to.
const barLook = 5 * time.Millisecond

// barred does something that nobody may keep it from meanwhile (Options.Bar).
func (s *session) barred(do func() error) error {
	if s.opts.Bar != nil {
		if err := s.pass(); err != nil {
			return err
		}
		defer s.opts.Bar.Unlock()
	}
	return do()
}

// pass takes the bar. As long as it has to wait, it does what nobody may keep it from: what may not be announced any more is
// withdrawn. Who holds the bar may wait for somebody who is frozen, and there may be nobody else to withdraw. The error is that of
// a connection that is lost meanwhile; then the bar is not taken.
func (s *session) pass() error {
	for !s.opts.Bar.TryLock() {
		if s.connected && len(s.table) > 0 && !s.entitled() {
			if err := s.fulfil(); err != nil {
				return err
			}
		}
		time.Sleep(barLook)
	}
	return nil
}
