package daemon

import (
	"os"
	"testing"
)

// The process has threads in reserve, for the time when it cannot get another one.
func TestMakeThreads(t *testing.T) {
	threads := func() int {
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			t.Fatal(err)
		}
		return len(tasks)
	}
	want := threads() + 5
	makeThreads(want)
	if got := threads(); got < want {
		t.Errorf("%d threads, want at least %d", got, want)
	}
	had := threads() // which may be more: the runtime makes some when it likes
	makeThreads(want)
	if got := threads(); got >= had+want/2 {
		t.Errorf("%d threads instead of %d, which were enough", got, had)
	}
}
