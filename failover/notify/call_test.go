package notify

import (
	"slices"
	"testing"

	"failoverd/failover"
)

func TestCalls(t *testing.T) {
	cmd := func(name string) *failover.Command { return &failover.Command{Args: []string{name, "x"}} }
	all := failover.NotifyConfig{
		Master: cmd("master"), Backup: cmd("backup"), Fault: cmd("fault"), Stop: cmd("stop"), Deleted: cmd("deleted"),
		RivalHeard: cmd("rival"), Any: cmd("any"), PriorityChanges: true,
	}
	for _, c := range []struct {
		n    failover.Notification
		want [][]string
	}{
		{transition("A", "MASTER", 150, &all), [][]string{{"master", "x"}, {"any", "x", "INSTANCE", "A", "MASTER", "150"}}},
		{transition("A", "BACKUP", 100, &all), [][]string{{"backup", "x"}, {"any", "x", "INSTANCE", "A", "BACKUP", "100"}}},
		{transition("A", "FAULT", 100, &all), [][]string{{"fault", "x"}, {"any", "x", "INSTANCE", "A", "FAULT", "100"}}},
		{transition("A", "STOP", 100, &all), [][]string{{"stop", "x"}, {"any", "x", "INSTANCE", "A", "STOP", "100"}}},
		{transition("A", "DELETED", 100, &all), [][]string{{"deleted", "x"}, {"any", "x", "INSTANCE", "A", "DELETED", "100"}}},
		{transition("A", "MASTER_RX_LOWER_PRI", 100, &all), [][]string{{"rival", "x"}}},
		{transition("A", "MASTER_PRIORITY", 100, &all), nil},
		{transition("A", "BACKUP_PRIORITY", 100, &all), nil},
		{failover.Notification{Group: true, Name: "G", State: "MASTER", Commands: &all}, [][]string{{"master", "x"}, {"any", "x", "GROUP", "G", "MASTER", "0"}}},
		{transition("A", "MASTER", 150, &failover.NotifyConfig{Backup: cmd("backup")}), nil},
		{transition("A", "MASTER", 150, &failover.NotifyConfig{}), nil},
	} {
		var got [][]string
		for _, c := range calls(&c.n) {
			got = append(got, slices.Concat(c.command.Args, c.extra))
		}
		if !slices.EqualFunc(got, c.want, slices.Equal) {
			t.Errorf("%s %s runs %q, want %q", c.n.Type(), c.n.State, got, c.want)
		}
	}
}

func TestLine(t *testing.T) {
	for _, c := range []struct {
		n    failover.Notification
		want string
	}{
		{transition("A", "MASTER", 150, nil), "INSTANCE \"A\" MASTER 150\n"},
		{transition("a/b:c", "MASTER_RX_LOWER_PRI", 255, nil), "INSTANCE \"a/b:c\" MASTER_RX_LOWER_PRI 255\n"},
		{failover.Notification{Group: true, Name: "G", State: "FAULT"}, "GROUP \"G\" FAULT 0\n"},
	} {
		if got := string(appendLine(nil, &c.n)); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
