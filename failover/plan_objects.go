package failover

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// object is one named thing of a configuration, for planObjects.
type object[T any] struct {
	name  string
	value *T
}

// planObjects compares the objects of one kind by their names. change says what becomes of one that is in both and
// differs; added and removed say what follows from those.
func planObjects[T any](kind, added, removed string, old, next []object[T], change func(old, next *T, e *PlanEntry)) (plan []PlanEntry) {
	rest := make(map[string]*T, len(old))
	for _, o := range old {
		rest[o.name] = o.value
	}
	for _, n := range next {
		e := PlanEntry{Kind: kind, Name: n.name, Effect: PlanNone}
		o, there := rest[n.name]
		delete(rest, n.name)
		switch {
		case !there:
			e.Effect, e.Notes = PlanAdded, note(added)
		case !reflect.DeepEqual(o, n.value):
			e.Effect = PlanLive
			change(o, n.value, &e)
		}
		plan = append(plan, e)
	}
	for _, o := range old {
		if _, gone := rest[o.name]; gone {
			plan = append(plan, PlanEntry{Kind: kind, Name: o.name, Effect: PlanRemoved, Notes: note(removed)})
		}
	}
	return plan
}

func note(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// objectsOf names the elements of a list.
func objectsOf[T any](list []T, name func(*T) string) []object[T] {
	out := make([]object[T], len(list))
	for i := range list {
		out[i] = object[T]{name(&list[i]), &list[i]}
	}
	return out
}

// notifies compares all that is told about the roles of something.
func notifies[T any](get func(*T) *NotifyConfig) parameter[T] {
	commands := []struct {
		name string
		get  func(*NotifyConfig) *Command
	}{
		{"notify_master", func(n *NotifyConfig) *Command { return n.Master }},
		{"notify_backup", func(n *NotifyConfig) *Command { return n.Backup }},
		{"notify_fault", func(n *NotifyConfig) *Command { return n.Fault }},
		{"notify_stop", func(n *NotifyConfig) *Command { return n.Stop }},
		{"notify_deleted", func(n *NotifyConfig) *Command { return n.Deleted }},
		{"notify_master_rx_lower_pri", func(n *NotifyConfig) *Command { return n.RivalHeard }},
		{"notify", func(n *NotifyConfig) *Command { return n.Any }},
	}
	return func(old, next *T) (changes []PlanChange) {
		a, b := get(old), get(next)
		for _, c := range commands {
			changes = append(changes, secret(c.name, nextTransition, c.get, (*Command).text)(a, b)...)
		}
		changes = append(changes, value("notify_deleted", "when a reload removes it", func(n *NotifyConfig) string { return onOff(n.DeletedWord) })(a, b)...)
		return append(changes, value("notify_priority_changes", "from the next change on",
			func(n *NotifyConfig) string { return onOff(n.PriorityChanges) })(a, b)...)
	}
}

var groupParameters = []parameter[GroupConfig]{
	list("group", listMeans{
		"has one role with the others from now on; if it follows another MASTER, none of them stays MASTER",
		"goes its own way", "", "",
	}, func(g *GroupConfig) (items []item) {
		for _, m := range g.Members {
			items = append(items, item{m, m})
		}
		return items
	}),
	notifies(func(g *GroupConfig) *NotifyConfig { return &g.Notify }),
}

// planGroups says what becomes of every vrrp_sync_group.
func planGroups(old, next *Config) []PlanEntry {
	name := func(g *GroupConfig) string { return g.Name }
	return planObjects("vrrp_sync_group", "its members have one role from now on; if one follows another MASTER, none stays MASTER", "each member goes its own way",
		objectsOf(old.Groups, name), objectsOf(next.Groups, name),
		func(o, n *GroupConfig, e *PlanEntry) { e.Changes = compareAll(groupParameters, o, n) })
}

// planDevices says what becomes of every macvlan interface.
func planDevices(old, next *Config) []PlanEntry {
	name := func(d *Device) string { return d.Name }
	return planObjects("use_vmac", "the interface is made", "the interface is deleted",
		objectsOf(old.Devices(), name), objectsOf(next.Devices(), name), func(o, n *Device, e *PlanEntry) {
			e.Effect, e.Notes = PlanRestarted, []string{
				"the interface is deleted and made anew: an instance with addresses on it gives up the role meanwhile",
			}
			e.Changes = compareAll([]parameter[Device]{
				value("parent", "", func(d *Device) string { return d.Parent }),
				value("address", "", func(d *Device) string { return hardware(d.MAC) }),
			}, o, n)
		})
}

// planStatic says what becomes of what is there whatever the roles.
func planStatic(old, next *Config) []PlanEntry {
	means := listMeans{added: "added at once", removed: "removed at once", changed: "changed in place", moved: ": nothing happens"}
	var plan []PlanEntry
	for _, kind := range []struct {
		name  string
		items func(*Config) []item
	}{
		{"static_ipaddress", func(c *Config) []item { return itemsOf(c.StaticAddresses) }},
		{"static_routes", func(c *Config) []item { return routeItems(c.StaticRoutes) }},
		{"static_rules", func(c *Config) []item { return ruleItems(c.StaticRules) }},
	} {
		a, b := kind.items(old), kind.items(next)
		if len(a)+len(b) == 0 {
			continue
		}
		e := PlanEntry{Kind: kind.name, Effect: PlanNone, Changes: compareItems(kind.name, means, a, b)}
		if len(e.Changes) > 0 {
			e.Effect = PlanLive
		}
		plan = append(plan, e)
	}
	return plan
}

// planFIFOs says what becomes of every FIFO.
func planFIFOs(old, next *Config) []PlanEntry {
	path := func(f *FIFOConfig) string { return f.Path }
	return planObjects("notify_fifo", "it is made", "it is closed: readers see its end", objectsOf(old.FIFOs, path), objectsOf(next.FIFOs, path),
		func(o, n *FIFOConfig, e *PlanEntry) {
			e.Changes = compareAll([]parameter[FIFOConfig]{
				value("owner", "", func(f *FIFOConfig) string { return orNone(strings.Trim(f.User+":"+f.Group, ":")) }),
				secret("notify_fifo_script", "the old one is ended, the new one started", func(f *FIFOConfig) *Command { return f.Script }, (*Command).text),
			}, o, n)
		})
}

// keepsVerdict reports whether a vrrp_script goes on with what it has found: it checks the same thing, however often.
func (c *ScriptConfig) keepsVerdict(next *ScriptConfig) bool {
	return c.Command.equal(&next.Command) && c.Open == next.Open
}

var scriptParameters = []parameter[ScriptConfig]{
	secret("script", "", func(c *ScriptConfig) *Command { return &c.Command }, (*Command).text),
	value("file to open", "", func(c *ScriptConfig) string { return c.Open }),
	value("interval", "from the next run on", func(c *ScriptConfig) string { return duration(c.Interval) }),
	value("timeout", "from the next run on", func(c *ScriptConfig) string { return duration(c.Timeout) }),
	value("rise", "from the next result on", func(c *ScriptConfig) string { return strconv.Itoa(c.Rise) }),
	value("fall", "from the next result on", func(c *ScriptConfig) string { return strconv.Itoa(c.Fall) }),
	value("init_fail", "only before a first result", func(c *ScriptConfig) string { return onOff(c.InitFail) }),
}

var fileParameters = []parameter[FileConfig]{
	value("file", "", func(c *FileConfig) string { return c.Path }),
	value("init_file", "only when the object is new", func(c *FileConfig) string {
		if c.Init == nil {
			return "off"
		}
		return strconv.Itoa(*c.Init)
	}),
	value("overwrite", "only when the object is new", func(c *FileConfig) string { return onOff(c.Overwrite) }),
}

var processParameters = []parameter[ProcessConfig]{
	secret("process", "", func(c *ProcessConfig) []string { return c.Args }, func(args []string) string { return (&Command{Args: args}).text() }),
	value("param_match", "", func(c *ProcessConfig) string {
		return [...]string{"any arguments", "all arguments", "initial", "partial"}[c.Match]
	}),
	value("full_command", "", func(c *ProcessConfig) string { return onOff(c.FullCommand) }),
	value("quorum", "the count is looked at again", func(c *ProcessConfig) string { return strconv.Itoa(c.Quorum) }),
	value("quorum_max", "the count is looked at again", func(c *ProcessConfig) string { return strconv.Itoa(c.QuorumMax) }),
	value("fork_delay", "from the next change on", func(c *ProcessConfig) string { return duration(c.ForkDelay) }),
	value("terminate_delay", "from the next change on", func(c *ProcessConfig) string { return duration(c.TerminateDelay) }),
}

// planTrackers says what becomes of every vrrp_script, track_file and vrrp_track_process.
func planTrackers(old, next *Config) []PlanEntry {
	const fresh = "what it has found before counts until there is a new result"
	script := func(c *ScriptConfig) string { return c.Name }
	plan := planObjects("vrrp_script", "it is run at once; an instance that is MASTER feels it from the first result on", "it is killed if it runs",
		objectsOf(old.Scripts, script), objectsOf(next.Scripts, script), func(o, n *ScriptConfig, e *PlanEntry) {
			e.Changes, e.Notes = compareAll(scriptParameters, o, n), note("the command is the same: its last result is kept")
			if !o.keepsVerdict(n) {
				e.Effect, e.Notes = PlanRestarted, []string{"it is killed if it runs, and the new command is run at once", fresh}
			}
		})
	file := func(c *FileConfig) string { return c.Name }
	plan = append(plan, planObjects("track_file", "it is read at once", "it is not watched any more",
		objectsOf(old.Files, file), objectsOf(next.Files, file), func(o, n *FileConfig, e *PlanEntry) {
			e.Changes = compareAll(fileParameters, o, n)
			if o.Path != n.Path {
				e.Effect, e.Notes = PlanRestarted, note(fresh)
			}
		})...)
	process := func(c *ProcessConfig) string { return c.Name }
	return append(plan, planObjects("vrrp_track_process", "processes are counted at once", "it is not counted any more",
		objectsOf(old.Processes, process), objectsOf(next.Processes, process), func(o, n *ProcessConfig, e *PlanEntry) {
			e.Changes = compareAll(processParameters, o, n)
			if !slices.Equal(o.Args, n.Args) || o.Match != n.Match || o.FullCommand != n.FullCommand {
				e.Effect, e.Notes = PlanRestarted, note(fresh)
			}
		})...)
}

// text names the groups; the protocol's own go without saying.
func (g MulticastGroups) text() string {
	return fmt.Sprintf("IPv4 %s IPv6 %s", orDefault(g.IPv4), orDefault(g.IPv6))
}
