package script_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"failoverd/failover"
	"failoverd/failover/script"
)

// TestLookUpAgain asks for a user while the data base cannot be read. That says nothing about the next time.
func TestLookUpAgain(t *testing.T) {
	needRoot(t)
	cmd := failover.Command{Args: []string{"/bin/true"}, User: "daemon"}
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	set := func(l unix.Rlimit) {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
			t.Error(err)
		}
	}
	set(unix.Rlimit{Cur: 3, Max: before.Max})
	err := script.Check(cmd, script.Policy{})
	set(before)
	if err == nil {
		t.Fatal("a user was found without a descriptor to look")
	}
	if err := script.Check(cmd, script.Policy{}); err != nil {
		t.Error(err)
	}
}
