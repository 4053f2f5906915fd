package daemon

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"failoverd/failover"
	"failoverd/vrrp/link"
	"failoverd/vrrp/wire"
)

// TestCandidateHoldsNothing: the status socket and the lock of the network namespace are not a candidate's, also when nobody has
// them: whoever its supervisor starts after a crash would not start.
func TestCandidateHoldsNothing(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED, NOT PASSED: needs root, for a network namespace")
	}
	path := filepath.Join(t.TempDir(), "status.sock")
	a := &Agent{turn: make(chan struct{}), log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocks, so that the thread ends here
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			a.serveAfter(ctx, path)
		}
		done <- err
	}()
	there := func() bool { _, err := os.Stat(path); return err == nil }
	time.Sleep(20 * stageTick)
	if a.lock.Load() != nil || there() {
		t.Error("a candidate has taken what is the working agent's")
	}
	close(a.turn)
	eventually(t, "the status socket", there)
	if a.lock.Load() == nil {
		t.Error("the network namespace is not locked")
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	a.unlock()
}

// TestUpgradeOver: while it is not known what has become of an upgrade that nobody waits for any more, there is no other one.
func TestUpgradeOver(t *testing.T) {
	a := &Agent{upgrading: make(chan struct{}, 1), over: make(chan struct{}), log: slog.New(slog.DiscardHandler)}
	busy := func() bool { return len(a.upgrading) == 1 }
	a.upgrading <- struct{}{}
	a.upgradeOver(nil)
	if busy() {
		t.Error("one that is over is still under way")
	}
	a.upgrading <- struct{}{}
	outcome := make(chan error, 1)
	a.upgradeOver(outcome)
	time.Sleep(20 * time.Millisecond)
	if !busy() {
		t.Error("another one may begin before this one is over")
	}
	outcome <- errors.New("refused")
	eventually(t, "the end of the upgrade", func() bool { return !busy() })
}

// slowClaims is a socket that takes its time to close.
type slowClaims struct{ release chan struct{} }

func (slowClaims) Run(func(link.Claim) bool) {}
func (s slowClaims) Close() error            { <-s.release; return nil }

// TestStopHearingWaitsForNobody: the loop ends readers, and the kernel takes its time to close their sockets.
func TestStopHearingWaitsForNobody(t *testing.T) {
	id := failover.LinkID{Interface: "eth0", Family: wire.IPv4}
	s := slowClaims{make(chan struct{})}
	o := &openClaims{claimSocket: s, done: make(chan struct{})}
	l := &links{claims: map[failover.LinkID]*openClaims{id: o}}
	begun := make(chan struct{})
	go func() {
		defer close(begun)
		l.stopHearing(id)
	}()
	select {
	case <-begun:
	case <-time.After(5 * time.Second):
		t.Fatal("the loop waits for a socket to close")
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.close()
	}()
	select {
	case <-ended:
		t.Error("the end does not wait for it")
	case <-time.After(20 * time.Millisecond):
	}
	close(s.release)
	close(o.done)
	<-ended
}
