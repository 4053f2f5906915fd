package daemon

import (
	"context"
	"slices"
)

// crew holds the goroutines that Run waits for at its end. It is owned by the loop.
type crew struct{ members []member }

type member struct {
	name string
	done chan struct{} // closed when it has ended
}

// spawn runs f. The channel that it returns is closed when f has returned.
func (c *crew) spawn(name string, f func()) <-chan struct{} {
	c.members = slices.DeleteFunc(c.members, member.ended) // speakers come and go
	m := member{name, make(chan struct{})}
	c.members = append(c.members, m)
	go func() {
		defer close(m.done)
		f()
	}()
	return m.done
}

func (m member) ended() bool {
	select {
	case <-m.done:
		return true
	default:
		return false
	}
}

// wait returns when all have ended, or, with the names of those that have not, when ctx ends.
func (c *crew) wait(ctx context.Context) (late []string) {
	for _, m := range c.members {
		select {
		case <-m.done:
		case <-ctx.Done():
			if !m.ended() {
				late = append(late, m.name)
			}
		}
	}
	return late
}
