package failover

import (
	"reflect"
	"testing"

	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// tellCore is a core with two routers in a sync group and one without.
func tellCore(t *testing.T) *Core {
	t.Helper()
	command := func(args ...string) *Command { return &Command{Args: args} }
	same := NotifyConfig{Master: command("m.sh"), Backup: command("b.sh"), Any: command("n.sh")}
	cfg := &Config{Groups: []GroupConfig{{
		Name: "G", Members: []string{"A", "B"},
		Notify: NotifyConfig{Master: command("m.sh"), Backup: command("other.sh"), Fault: command("f.sh"), Any: command("n.sh")},
	}}}
	for i, name := range []string{"A", "B", "C"} {
		cfg.Routers = append(cfg.Routers, RouterConfig{Name: name, Notify: same, VRRP: vrrp.Config{
			Key: vrrp.Key{Interface: "eth0", Family: wire.IPv4, VRID: uint8(i + 1)}, Version: wire.V3, Priority: 100, Interval: 100,
		}})
	}
	c, err := New(cfg, 0)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// told returns the notifications in fx as "NAME STATE", and forgets them.
func told(fx *Effects) (words []string) {
	for _, n := range fx.Notifications {
		words = append(words, n.Name+" "+n.State)
	}
	fx.Notifications = fx.Notifications[:0]
	return words
}

// TestCommandsOfMembers: each member runs its own commands, also those that its group runs, too, as keepalived does.
func TestCommandsOfMembers(t *testing.T) {
	c := tellCore(t)
	var fx Effects
	for i, name := range []string{"A", "B", "C"} {
		r := c.routers[i]
		c.tell(0, r, "MASTER", &fx)
		if n := fx.Notifications[i]; n.Name != name || n.Commands != &r.cfg.Notify {
			t.Errorf("%s: %+v with %+v", name, n, n.Commands)
		}
	}
}

func TestCommandEqual(t *testing.T) {
	a := &Command{Args: []string{"x", "y"}, User: "u", Group: "g"}
	for _, tt := range []struct {
		o    *Command
		want bool
	}{
		{a, true},
		{&Command{Args: []string{"x", "y"}, User: "u", Group: "g"}, true},
		{&Command{Args: []string{"x"}, User: "u", Group: "g"}, false},
		{&Command{Args: []string{"x", "y"}, User: "v", Group: "g"}, false},
		{&Command{Args: []string{"x", "y"}, User: "u"}, false},
		{nil, false},
	} {
		if a.equal(tt.o) != tt.want || tt.o.equal(a) != tt.want {
			t.Errorf("%+v and %+v: want %v", a, tt.o, tt.want)
		}
	}
	if !(*Command)(nil).equal(nil) {
		t.Error("no command and no command differ")
	}
}

// TestGroupsAreToldOnce: a group's state is told when it is another one, and STOP is its last word.
func TestGroupsAreToldOnce(t *testing.T) {
	c := tellCore(t)
	g := &c.cfg.Groups[0]
	var fx Effects
	for _, state := range []string{"INIT", "BACKUP", "BACKUP", "MASTER", "INIT", "MASTER", "FAULT"} {
		c.tellGroup(0, g, state, &fx)
	}
	if got, want := told(&fx), []string{"G BACKUP", "G MASTER", "G FAULT"}; !reflect.DeepEqual(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
	c.stop(0, "stopped", &fx)
	c.tellGroup(0, g, "FAULT", &fx)
	if got, want := told(&fx), []string{"A STOP", "B STOP", "C STOP", "G STOP"}; !reflect.DeepEqual(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
	if n := (&Notification{Group: true}).Type(); n != "GROUP" {
		t.Errorf("the type is %s", n)
	}
}

// TestRivals: the first rival of each time as MASTER is told, and further ones once in a while.
func TestRivals(t *testing.T) {
	c := tellCore(t)
	r := c.routers[2]
	var fx Effects
	for _, now := range []vrrp.Instant{0, 1} {
		c.tell(now, r, "MASTER", &fx)
		c.tellRival(now, r, &fx)
		c.tellRival(now, r, &fx)
		c.tell(now, r, "BACKUP", &fx)
	}
	c.tell(2, r, "MASTER", &fx)
	c.tellRival(2, r, &fx)
	c.tellRival(vrrp.Instant(0).Add(logGap).Add(2), r, &fx)
	want := []string{
		"C MASTER", "C MASTER_RX_LOWER_PRI", "C BACKUP", "C MASTER", "C MASTER_RX_LOWER_PRI", "C BACKUP", "C MASTER",
		"C MASTER_RX_LOWER_PRI", "C MASTER_RX_LOWER_PRI",
	}
	if got := told(&fx); !reflect.DeepEqual(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}

// TestPriorityChanges are told where it is asked for, of routers that take part in an election.
func TestPriorityChanges(t *testing.T) {
	c := tellCore(t)
	r := c.routers[2]
	var fx Effects
	c.tellPriority(0, r, &fx)
	r.cfg.Notify.PriorityChanges = true
	c.tellPriority(0, r, &fx)
	r.fsm.SetSource(wire.IPv4.Group())
	r.fsm.Startup(0)
	r.fsm.SetPriority(80)
	c.tellPriority(0, r, &fx)
	if len(fx.Notifications) != 1 || fx.Notifications[0].State != "BACKUP_PRIORITY" || fx.Notifications[0].Priority != 80 {
		t.Fatalf("told %+v", fx.Notifications)
	}
	r.fsm.Expire(r.fsm.Deadline())
	c.tellPriority(0, r, &fx)
	if got, want := told(&fx), []string{"C BACKUP_PRIORITY", "C MASTER_PRIORITY"}; !reflect.DeepEqual(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}

// TestGroupsAfterReload: all states are told if it is asked for, and a group that is gone is forgotten.
func TestGroupsAfterReload(t *testing.T) {
	c := tellCore(t)
	var fx Effects
	g := &c.cfg.Groups[0]
	c.tellGroup(0, g, "MASTER", &fx)
	told(&fx)
	c.cfg.StatesOnReload = true
	c.tellAll(0, &fx)
	if len(fx.Notifications) != 1 || !fx.Notifications[0].Quiet {
		t.Errorf("told %+v", fx.Notifications)
	}
	if got, want := told(&fx), []string{"G MASTER"}; !reflect.DeepEqual(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
	c.cfg.Groups = nil
	c.tellAll(0, &fx)
	if got := told(&fx); got != nil || len(c.groupsTold) > 0 {
		t.Errorf("told %q, and %v is remembered", got, c.groupsTold)
	}
}
