package notify

import (
	"testing"
	"time"

	"failoverd/failover"
)

// A script has a long time as long as nobody waits; a newer state gives it the short one, counted from its beginning.
func TestScriptMakesWayForNewerState(t *testing.T) {
	m := newMailbox(t)
	s := quick()
	s.waited = 200 * time.Millisecond
	w := start(t, s, nil)
	c := &failover.NotifyConfig{
		Master: sh(m.say("begun") + "; sleep 0.6; " + m.say("done")),
		Backup: sh(m.say("backup")),
		Fault:  sh(m.say("begun") + "; sleep 600; " + m.say("never")),
	}
	w.Tell([]failover.Notification{transition("A", "MASTER", 1, c)})
	m.expect(t, "begun")
	m.expect(t, "done") // nobody waited

	w.Tell([]failover.Notification{transition("A", "FAULT", 1, c)})
	m.expect(t, "begun")
	begun := time.Now()
	w.Tell([]failover.Notification{transition("A", "BACKUP", 1, c)})
	m.expect(t, "backup")
	if took := time.Since(begun); took > slack {
		t.Errorf("took %v", took)
	}
	if !w.log.has("notify script ended, a newer state waits", "router=A") {
		t.Error("not logged")
	}
}
