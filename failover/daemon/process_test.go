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
	makeThreads(want) // it has them
	if got := threads(); got > want+5 {
		t.Errorf("%d threads, want about %d", got, want)
	}
}
