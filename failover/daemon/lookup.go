package daemon

import (
	"context"
	"errors"
	"net/netip"
	"sync"

	"failoverd/bgp"
)

// directory holds the running speakers for those who are not the loop. All of it may be used from any goroutine.
type directory struct {
	mu      sync.RWMutex
	entries map[string]backend
}

func newDirectory() *directory { return &directory{entries: make(map[string]backend)} }

func (d *directory) add(name string, s backend) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.entries[name] = s
}

func (d *directory) remove(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.entries, name)
}

// seen is health.Lookup: it asks a speaker, and waits for no other than that.
func (d *directory) seen(ctx context.Context, name string, prefix netip.Prefix) (bgp.Sighting, error) {
	d.mu.RLock()
	s := d.entries[name]
	d.mu.RUnlock()
	if s == nil {
		return bgp.Sighting{}, errors.New("does not run")
	}
	return s.Seen(ctx, prefix)
}
