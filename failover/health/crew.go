package health

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// crew holds the goroutines of one Run by name. All of it may be used from any goroutine.
type crew struct {
	ctx context.Context // of Run: what is started ends with it

	mu      sync.Mutex
	members map[*member]bool
}

type member struct {
	name string
	done chan struct{}
}

func newCrew(ctx context.Context) *crew { return &crew{ctx: ctx, members: make(map[*member]bool)} }

// start runs f in a goroutine. Its context ends with Run's or by the function that start returns.
func (c *crew) start(name string, f func(context.Context)) context.CancelFunc {
	ctx, cancel := context.WithCancel(c.ctx)
	m := &member{name, make(chan struct{})}
	c.mu.Lock()
	c.members[m] = true
	c.mu.Unlock()
	go func() {
		defer func() {
			cancel()
			c.mu.Lock()
			delete(c.members, m)
			c.mu.Unlock()
			close(m.done)
		}()
		f(ctx)
	}()
	return cancel
}

// wait returns when all have ended, or with an error that names those which have not within the given time. Nothing is
// started meanwhile.
func (c *crew) wait(patience time.Duration) error {
	c.mu.Lock()
	rest := slices.Collect(maps.Keys(c.members))
	c.mu.Unlock()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	over := false
	var late []string
	for _, m := range rest {
		if !over {
			select {
			case <-m.done:
				continue
			case <-limit.C:
				over = true
			}
		}
		select {
		case <-m.done:
		default:
			late = append(late, m.name)
		}
	}
	if len(late) == 0 {
		return nil
	}
	slices.Sort(late)
	const most = 5
	names := strings.Join(late[:min(most, len(late))], ", ")
	if len(late) > most {
		names += ", ..."
	}
	return fmt.Errorf("end health checks: %d did not end in %v: %s", len(late), patience, names)
}
