package speaker

import (
	"sync"
	"testing"
	"time"

	"failoverd/bgp"
	"failoverd/bgp/gobgp"
)

// While the speaker is kept from it, no process is started, none is asked for anything and none is killed for its silence; what
// is wanted waits.
func TestSpeakerBehindBar(t *testing.T) {
	t.Parallel()
	var writes sync.RWMutex
	p := newRawPeer(t, "127.0.0.2", nil)
	writes.Lock()
	a := startAgent(t, speakerOf(rawNeighbor(p)), func(c *Config) { c.Bar = gobgp.ReadersBar(&writes) })
	time.Sleep(100 * time.Millisecond)
	if pid := a.s.PID(); pid != 0 {
		t.Errorf("process %d was started", pid)
	}
	writes.Unlock()
	a.set(route4())
	a.until(10*time.Second, "the route", func(r bgp.Report) bool { return len(r.Announced) == 1 })
	pid := a.s.PID()
	writes.Lock()
	a.set()
	time.Sleep(2 * confirms) // it would be killed for a debt of that age
	if r := a.last(); len(r.Announced) != 1 {
		t.Error("the route was withdrawn")
	}
	writes.Unlock()
	a.until(10*time.Second, "no route", func(r bgp.Report) bool { return len(r.Announced) == 0 })
	if a.s.PID() != pid {
		t.Error("the process was killed")
	}
}
