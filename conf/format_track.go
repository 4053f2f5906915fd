package conf

import (
	"maps"
	"slices"

	"failoverd/failover"
)

// scripts are the words of global_defs about commands.
func (p *printer) scripts(cfg *failover.Config) {
	p.when(cfg.ScriptSecurity, "enable_script_security")
	p.when(cfg.SupplementaryGroups, "set_supplementary_groups")
	p.when(!cfg.StatesOnReload, "fifo_write_vrrp_states_on_reload", "off")
	for i := range cfg.FIFOs {
		f := &cfg.FIFOs[i]
		head := [...]string{"notify_fifo", "vrrp_notify_fifo"}[i]
		p.line(append([]any{head, quote(f.Path)}, owner(f.User, f.Group)...)...)
		p.command(head+"_script", f.Script)
	}
	hook := func(head string, cmd *failover.Command, timeout any) {
		if cmd != nil {
			p.command(head, cmd)
			p.line(head+"_timeout", timeout)
		}
	}
	hook("startup_script", cfg.StartupScript, formatSeconds(cfg.StartupTimeout))
	hook("shutdown_script", cfg.ShutdownScript, formatSeconds(cfg.ShutdownTimeout))
}

// process are the words of global_defs about the agent's process and its dumps.
func (p *printer) process(cfg *failover.Config) {
	p.when(cfg.Process.HasNice, "vrrp_priority", cfg.Process.Nice)
	p.when(cfg.Process.RealTime != 0, "vrrp_rt_priority", cfg.Process.RealTime)
	p.when(cfg.Process.NoSwap, "vrrp_no_swap")
	p.when(cfg.Dump.Data != "", "state_dump_file", quote(cfg.Dump.Data))
	p.when(cfg.Dump.Stats != "", "stats_dump_file", quote(cfg.Dump.Stats))
	p.when(cfg.Dump.JSON != "", "json_dump_file", quote(cfg.Dump.JSON))
	p.when(cfg.Dump.JSONVersion != 0, "json_version", cfg.Dump.JSONVersion)
}

// owner are the optional words of a user and a group. They need no quotes, which a word before them could not bear.
func owner(user, group string) []any {
	switch {
	case user == "":
		return nil
	case group == "":
		return []any{user}
	}
	return []any{user, group}
}

// command writes a statement that runs something, if it does.
func (p *printer) command(head string, cmd *failover.Command) {
	if cmd != nil {
		p.line(append([]any{head, formatCommand(cmd.Args)}, owner(cmd.User, cmd.Group)...)...)
	}
}

// trackers are the definitions of what routers depend on.
func (p *printer) trackers(cfg *failover.Config) {
	for i := range cfg.Scripts {
		p.script(&cfg.Scripts[i])
	}
	for i := range cfg.Files {
		f := &cfg.Files[i]
		p.block("track_file "+name(f.Name), func() {
			p.line("file", quote(f.Path))
			if f.Init != nil {
				words := []any{"init_file", *f.Init}
				if f.Overwrite {
					words = append(words, "overwrite")
				}
				p.line(words...)
			}
		})
	}
	for i := range cfg.Processes {
		p.trackedProcess(&cfg.Processes[i])
	}
	for i := range cfg.Checks {
		p.check(&cfg.Checks[i])
	}
	for i := range cfg.CheckGroups {
		p.checkGroup(cfg, &cfg.CheckGroups[i])
	}
	if len(cfg.LinkDelays) > 0 {
		p.block("interface_up_down_delays", func() {
			for _, n := range slices.Sorted(maps.Keys(cfg.LinkDelays)) {
				d := cfg.LinkDelays[n]
				p.line(name(n), formatSeconds(d.Down), formatSeconds(d.Up))
			}
		})
	}
}

func (p *printer) script(s *failover.ScriptConfig) {
	p.block("vrrp_script "+name(s.Name), func() {
		if s.Open != "" {
			p.line("script", quoteCommand("<"+formatArgument(s.Open)))
		} else {
			p.line("script", formatCommand(s.Command.Args))
			if s.Command.User != "" {
				p.line(append([]any{"user"}, owner(s.Command.User, s.Command.Group)...)...)
			}
		}
		p.line("interval", formatSeconds(s.Interval))
		p.line("timeout", formatSeconds(s.Timeout))
		p.line("rise", s.Rise)
		p.line("fall", s.Fall)
		p.when(s.InitFail, "init_fail")
	})
}

func (p *printer) trackedProcess(t *failover.ProcessConfig) {
	p.block("vrrp_track_process "+name(t.Name), func() {
		p.line("process", formatCommand(t.Args))
		switch t.Match {
		case failover.ParamAny:
		case failover.ParamExact:
			p.line("param_match")
		case failover.ParamInitial:
			p.line("param_match", "initial")
		case failover.ParamPartial:
			p.line("param_match", "partial")
		}
		p.line("quorum", t.Quorum)
		p.when(t.QuorumMax != 0, "quorum_max", t.QuorumMax)
		p.line("fork_delay", formatSeconds(t.ForkDelay))
		p.line("terminate_delay", formatSeconds(t.TerminateDelay))
		p.when(t.FullCommand, "full_command")
	})
}

// tracks are the track_* blocks of a router. Those of its group are among them.
func (p *printer) tracks(tracks []failover.Track) {
	for len(tracks) > 0 {
		kind := tracks[0].Kind
		p.block(kind.String(), func() {
			for len(tracks) > 0 && tracks[0].Kind == kind {
				t := tracks[0]
				tracks = tracks[1:]
				words := []any{name(t.Name), "weight", t.Weight}
				if t.Reverse {
					words = append(words, "reverse")
				} else {
					words = append(words, "noreverse")
				}
				p.line(words...)
			}
		})
	}
}

// group writes a sync group without what it tracks, which its members have.
func (p *printer) group(cfg *failover.Config, g *failover.GroupConfig) {
	p.block("vrrp_sync_group "+name(g.Name), func() {
		weighted := false
		p.block("group", func() {
			for _, m := range g.Members {
				p.line(name(m))
			}
		})
		for i := range cfg.Routers {
			r := &cfg.Routers[i]
			weighted = weighted || slices.Contains(g.Members, r.Name) &&
				slices.ContainsFunc(r.Tracks, func(t failover.Track) bool { return t.Weight != 0 })
		}
		p.when(weighted, "sync_group_tracking_weight")
		p.notify(&g.Notify)
	})
}

// notify are the notify words of a router or a group.
func (p *printer) notify(n *failover.NotifyConfig) {
	p.command("notify", n.Any)
	p.command("notify_master", n.Master)
	p.command("notify_backup", n.Backup)
	p.command("notify_fault", n.Fault)
	p.command("notify_stop", n.Stop)
	p.command("notify_deleted", n.Deleted)
	p.command("notify_master_rx_lower_pri", n.RivalHeard)
	if n.DeletedWord != (n.Deleted != nil) {
		p.line("notify_deleted", map[bool]string{true: "on", false: "off"}[n.DeletedWord])
	}
	p.when(n.PriorityChanges, "notify_priority_changes")
}
