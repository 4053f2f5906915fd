package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"failoverd/failover"
	"failoverd/failover/status"
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

// Who reads the event log later sees where a run of the agent begins and ends, with what, and why.
func TestStartAndStopAreEvents(t *testing.T) {
	l := newLab(t)
	r := l.start(webConf)
	r.waitState("MASTER")
	hash := r.snapshot().Config.Hash
	r.stop(errors.New("signal SIGTERM"))
	r.mustEnd()
	var got []string
	for _, line := range r.agent.Events(1000) {
		var e status.Event
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		took := e.TookMS > 0 && e.TookMS < 5000
		got = append(got, fmt.Sprintf("%s %s %s: %s %v", e.Kind, e.Object, e.To, e.Reason, took))
	}
	want := []string{
		"start " + r.file + " " + hash + ": version test; virtual routers 1, speakers 0 false",
		"stop  begun: signal SIGTERM false", "stop  complete:  true",
	}
	if len(got) < 3 || got[0] != want[0] || !slices.Contains(got, want[1]) || got[len(got)-1] != want[2] {
		t.Errorf("events:\n%q\nwant, with others between them:\n%q", got, want)
	}
	file, err := os.ReadFile(filepath.Join(filepath.Dir(r.file), "state", eventsFile))
	if last := r.agent.Events(1)[0]; err != nil || !bytes.HasSuffix(file, append(slices.Clone(last), '\n')) {
		t.Errorf("the file does not end with the last event, %v", err)
	}
}

// An agent that did not stop in order says so in its last event.
func TestEndOfAnAgent(t *testing.T) {
	if e := ended(time.Time{}, errors.New("netlink is gone")); e.To != "complete" || e.Reason != "netlink is gone" || e.Took != 0 {
		t.Errorf("%+v", e)
	}
}
