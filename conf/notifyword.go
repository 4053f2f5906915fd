package conf

import (
	"slices"
	"time"

	"failoverd/failover"
)

// notifyWords is the draft of a failover.NotifyConfig.
type notifyWords struct {
	master, backup, fault, stop, deleted, rival, any *command

	deletedWord     field[bool]
	priorityChanges field[bool]
}

// notifyRows are the notify words that instances and sync groups have in common.
func notifyRows[T any](of func(T) *notifyWords) []row[T] {
	run := func(name string, slot func(*notifyWords) **command) row[T] {
		return word(name, func(d *decoder, to T, c *cursor) { d.notify(slot(of(to)), c) })
	}
	return []row[T]{
		run("notify", func(n *notifyWords) **command { return &n.any }),
		run("notify_master", func(n *notifyWords) **command { return &n.master }),
		run("notify_backup", func(n *notifyWords) **command { return &n.backup }),
		run("notify_fault", func(n *notifyWords) **command { return &n.fault }),
		run("notify_stop", func(n *notifyWords) **command { return &n.stop }),
		word("notify_priority_changes", func(d *decoder, to T, c *cursor) { of(to).priorityChanges.set(d.switched(c)) }),
	}
}

// instanceNotifyRows are those that sync groups do not have.
var instanceNotifyRows = []row[*instance]{
	word("notify_deleted", (*decoder).notifyDeleted),
	word("notify_master_rx_lower_pri", func(d *decoder, in *instance, c *cursor) { d.notify(&in.notify.rival, c) }),
}

// notify decodes a command. The first of a kind counts.
func (d *decoder) notify(slot **command, c *cursor) {
	cmd := d.command(c)
	if first := *slot; first != nil {
		d.warnf(c.keyword, "%s is there twice; the first one, at %s, counts", c.keyword.Text, first.at.Pos)
		return
	}
	*slot = cmd
}

// notifyDeleted decodes a command, or a switch: whether DELETED is said instead of FAULT.
func (d *decoder) notifyDeleted(in *instance, c *cursor) {
	switches := []string{"on", "off", "true", "false", "yes", "no"}
	if c.value() && !slices.Contains(switches, c.words[0].Text) {
		d.notify(&in.notify.deleted, c)
		return
	}
	in.notify.deletedWord.set(d.switched(c))
}

// resolveNotify returns what is told of whom.
func (d *decoder) resolveNotify(n *notifyWords, whom string) failover.NotifyConfig {
	run := func(cmd *command, word string) *failover.Command {
		return d.resolveCommand(cmd, word+" of "+whom, false)
	}
	out := failover.NotifyConfig{
		Master:          run(n.master, "notify_master"),
		Backup:          run(n.backup, "notify_backup"),
		Fault:           run(n.fault, "notify_fault"),
		Stop:            run(n.stop, "notify_stop"),
		Deleted:         run(n.deleted, "notify_deleted"),
		RivalHeard:      run(n.rival, "notify_master_rx_lower_pri"),
		Any:             run(n.any, "notify"),
		DeletedWord:     n.deletedWord.or(n.deleted != nil),
		PriorityChanges: n.priorityChanges.or(d.global.priorityChanges.or(false)),
	}
	if n.master != nil && n.backup != nil && n.fault == nil && n.any == nil {
		// What notify_master has set up must be taken down when a check takes the role away, and keepalived says nothing
		// then that notify_backup would hear.
		d.warnf(n.backup.at, "notify_fault is missing: notify_backup runs on FAULT, too, so that what notify_master did is taken back")
		out.Fault = out.Backup
	}
	return out
}

// fifo is the draft of a notify_fifo or vrrp_notify_fifo, with its script.
type fifo struct {
	path        field[string]
	user, group field[string]
	script      *command
}

// fifoRows are the words of a FIFO, which come with two names.
func fifoRows(name string, of func(*globals) *fifo) []row[*globals] {
	return []row[*globals]{
		word(name, func(d *decoder, g *globals, c *cursor) {
			f := of(g)
			f.path.set(d.file(c))
			f.user, f.group = field[string]{}, field[string]{}
			d.owner(c, &f.user, &f.group)
		}),
		word(name+"_script", func(d *decoder, g *globals, c *cursor) { d.notify(&of(g).script, c) }),
	}
}

// resolveFIFOs fills in who is told of everything.
func (d *decoder) resolveFIFOs(cfg *failover.Config) {
	seen := map[string]Token{}
	for _, f := range []*fifo{&d.global.allFIFO, &d.global.vrrpFIFO} {
		if !f.path.ok {
			if f.script != nil && f.path.missing() {
				d.tolerablef(f.script.at, "a FIFO's script without the FIFO never runs: write notify_fifo PATH, or vrrp_notify_fifo PATH")
			}
			continue
		}
		path := f.path.value
		if first, twice := seen[path]; twice {
			d.errorf(f.path.at, "FIFO %s is there twice, first at %s", path, first.Pos)
		}
		seen[path] = f.path.at
		cfg.FIFOs = append(cfg.FIFOs, failover.FIFOConfig{
			Path: path, User: f.user.or(""), Group: f.group.or(""),
			Script: d.resolveCommand(f.script, "the script of FIFO "+path, false),
		})
	}
}

// hook is the draft of startup_script or shutdown_script.
type hook struct {
	command *command
	timeout field[time.Duration]
}

// hookRows are the words of a hook.
func hookRows(name string, of func(*globals) *hook) []row[*globals] {
	return []row[*globals]{
		word(name, func(d *decoder, g *globals, c *cursor) { d.notify(&of(g).command, c) }),
		word(name+"_timeout", func(d *decoder, g *globals, c *cursor) { of(g).timeout.set(d.seconds(c, minRun, maxWait)) }),
	}
}

// resolveHook returns what is run, and how long it may take.
func (d *decoder) resolveHook(h *hook, name string) (*failover.Command, time.Duration) {
	if h.command == nil {
		if h.timeout.given {
			d.warnf(h.timeout.at, "%s_timeout has no effect without %s", name, name)
		}
		return nil, 0
	}
	return d.resolveCommand(h.command, name, false), h.timeout.or(defaultScriptTimeout)
}
