package script_test

import (
	"context"
	"os"
	"sync"
	"testing"

	"failoverd/failover/script"
)

// TestManyAtOnce lets many commands hang. None of them may hold a thread: a process that cannot have another one is ended
// by Go's runtime, and the role of its routers with it.
func TestManyAtOnce(t *testing.T) {
	const many = 100
	threads := func() int {
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			t.Fatal(err)
		}
		return len(tasks)
	}
	before := threads()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	started, crew := make(chan struct{}, many), sync.WaitGroup{}
	for range many {
		crew.Go(func() {
			x := script.Exec{Output: func(string) { started <- struct{}{} }}
			if r, err := script.Run(ctx, sh("echo; exec sleep 600"), script.Policy{}, x); err != nil || !r.Stopped || r.Killed {
				t.Errorf("%v, %v", r, err)
			}
		})
	}
	for range many {
		<-started
	}
	if more := threads() - before; more > many/2 {
		t.Errorf("%d more threads for %d commands", more, many)
	}
	cancel()
	crew.Wait()
	if n := zombies(t); n != 0 {
		t.Errorf("%d zombies", n)
	}
}
