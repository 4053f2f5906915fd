package daemon

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"failoverd/failover"
)

// The stop tells checks at once that they are over. One that ignores it takes most of stopBound to be killed, and would
// outlive the agent if it was told when everything else has ended.
func TestStopEndsChecksFirst(t *testing.T) {
	a, _ := plain(t, new(testLog))
	dir := t.TempDir()
	command := failover.Command{
		Args: []string{"/bin/sh", "-c", `trap 'echo >"$1/told"' TERM; echo >"$1/begun"; while :; do sleep 0.05; done`, "sh", dir},
	}
	if os.Geteuid() == 0 {
		command.User = "root"
	}
	a.loop.health.Configure(&failover.Config{Scripts: []failover.ScriptConfig{
		{Name: "stubborn", Command: command, Interval: time.Minute, Timeout: time.Hour, Rise: 1, Fall: 1},
	}})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.loop.health.Run(ctx, func(failover.TrackerReport) {}) }()
	exists := func(name string) func() bool {
		return func() bool { _, err := os.Stat(filepath.Join(dir, name)); return err == nil }
	}
	eventually(t, "the check", exists("begun"))
	over, stop := context.WithCancel(context.Background())
	stop()
	a.loop.stop(over)
	eventually(t, "SIGTERM for the check", exists("told"))
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
