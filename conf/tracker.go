package conf

import (
	"strconv"
	"strings"
	"time"

	"failoverd/failover"
)

// script is the draft of a vrrp_script.
type script struct {
	tracked
	command     *command
	interval    field[time.Duration]
	timeout     field[time.Duration]
	rise, fall  field[int]
	initFail    bool
	user, group field[string]
}

// Ranges that keepalived leaves open, and the shortest run that makes sense.
const (
	minRun    = 10 * time.Millisecond
	maxCount  = 1000000
	maxQuorum = 65535
)

const (
	defaultInterval      = time.Second
	defaultScriptTimeout = 10 * time.Second // of startup_script and shutdown_script
)

var scriptWords = newTable("vrrp_script", []row[*script]{
	word("script", func(d *decoder, s *script, c *cursor) { s.command = d.commandLine(c, true) }),
	single("interval", func(d *decoder, s *script, c *cursor) { s.interval.set(d.seconds(c, minRun, maxPeriod)) }),
	single("timeout", func(d *decoder, s *script, c *cursor) { s.timeout.set(d.seconds(c, minRun, maxPeriod)) }),
	word("weight", func(d *decoder, s *script, c *cursor) { d.weight(c, failover.TrackScript, &s.weight, &s.reverse) }),
	single("rise", func(d *decoder, s *script, c *cursor) { s.rise.set(d.int(c, 1, maxCount)) }),
	single("fall", func(d *decoder, s *script, c *cursor) { s.fall.set(d.int(c, 1, maxCount)) }),
	word("user", func(d *decoder, s *script, c *cursor) {
		s.user.set(d.user(c, "the name of a user"))
		if c.value() {
			s.group.set(d.user(c, "the name of a group"))
		}
	}),
	word("init_fail", func(_ *decoder, s *script, _ *cursor) { s.initFail = true }),
})

func (d *decoder) script(c *cursor) {
	s := &script{tracked: tracked{word: c.keyword.Text}}
	name, ok := d.next(c, "a name")
	s.name = name
	walk(d, scriptWords, s, d.body(c))
	if ok && d.track(failover.TrackScript, &s.tracked) {
		d.scripts = append(d.scripts, s)
	}
}

// resolveScript returns the configuration of a check.
func (d *decoder) resolveScript(s *script) failover.ScriptConfig {
	interval := s.interval.or(defaultInterval)
	out := failover.ScriptConfig{
		Name: s.name.Text, Interval: interval, Timeout: s.timeout.or(interval),
		Rise: s.rise.or(1), Fall: s.fall.or(1), InitFail: s.initFail,
	}
	if s.command == nil {
		d.errorf(s.name, "vrrp_script %s: script is missing", s.name.Text)
		return out
	}
	if out.Open = s.command.open; out.Open != "" {
		return out
	}
	s.command.user, s.command.group = s.user, s.group
	if cmd := d.resolveCommand(s.command, "vrrp_script "+s.name.Text, true); cmd != nil {
		out.Command = *cmd
	}
	return out
}

// trackFile is the draft of a track_file.
type trackFile struct {
	tracked
	path      field[string]
	init      field[int]
	overwrite bool
}

var fileWords = newTable("track_file", []row[*trackFile]{
	single("file", func(d *decoder, f *trackFile, c *cursor) { f.path.set(d.file(c)) }),
	word("weight", func(d *decoder, f *trackFile, c *cursor) { d.weight(c, failover.TrackFile, &f.weight, &f.reverse) }),
	word("init_file", (*decoder).initFile),
})

// initFile decodes [VALUE] [overwrite].
func (d *decoder) initFile(f *trackFile, c *cursor) {
	f.init.set(0, c.keyword, true)
	if c.value() && c.words[0].Text != "overwrite" {
		t := c.take()
		n, err := strconv.ParseInt(t.Text, 10, 32)
		if err != nil {
			d.errorf(t, "init_file %q: want a whole number, or overwrite", t.Text)
		}
		f.init.set(int(n), t, err == nil)
	}
	if c.value() && c.words[0].Text == "overwrite" {
		c.take()
		f.overwrite = true
	}
}

func (d *decoder) trackFile(c *cursor) {
	f := &trackFile{tracked: tracked{word: c.keyword.Text}}
	name, ok := d.next(c, "a name")
	f.name = name
	walk(d, fileWords, f, d.body(c))
	if ok && d.track(failover.TrackFile, &f.tracked) {
		d.files = append(d.files, f)
	}
}

// resolveFile returns the configuration of a tracked file.
func (d *decoder) resolveFile(f *trackFile) failover.FileConfig {
	out := failover.FileConfig{Name: f.name.Text, Path: f.path.or(""), Overwrite: f.overwrite}
	if f.path.missing() {
		d.errorf(f.name, "%s %s: file is missing", f.word, f.name.Text)
	}
	if f.init.ok {
		out.Init = &f.init.value
	}
	return out
}

// process is the draft of a vrrp_track_process.
type process struct {
	tracked
	command   *command
	match     field[failover.ParamMatch]
	full      bool
	quorum    field[int]
	quorumMax field[int]
	forkDelay field[time.Duration]
	termDelay field[time.Duration]
}

var processWords = newTable("vrrp_track_process", []row[*process]{
	word("process", func(d *decoder, p *process, c *cursor) { p.command = d.processName(c) }),
	word("param_match", (*decoder).paramMatch),
	word("weight", func(d *decoder, p *process, c *cursor) { d.weight(c, failover.TrackProcess, &p.weight, &p.reverse) }),
	single("quorum", func(d *decoder, p *process, c *cursor) { p.quorum.set(d.int(c, 1, maxQuorum)) }),
	single("quorum_max", func(d *decoder, p *process, c *cursor) { p.quorumMax.set(d.int(c, 1, maxQuorum)) }),
	word("delay", func(d *decoder, p *process, c *cursor) {
		v, at, ok := d.seconds(c, 0, maxPeriod)
		p.forkDelay.set(v, at, ok)
		p.termDelay.set(v, at, ok)
	}),
	single("fork_delay", func(d *decoder, p *process, c *cursor) { p.forkDelay.set(d.seconds(c, 0, maxPeriod)) }),
	single("terminate_delay", func(d *decoder, p *process, c *cursor) { p.termDelay.set(d.seconds(c, 0, maxPeriod)) }),
	word("full_command", func(_ *decoder, p *process, _ *cursor) { p.full = true }),
})

// processName takes what is compared with running processes. It is written like a command, and none.
func (d *decoder) processName(c *cursor) *command {
	p := &command{at: c.keyword}
	if !c.needed() {
		d.errorf(c.keyword, "process: its value is missing (want the name of a program)")
		return p
	}
	p.at = c.words[0]
	args, err := SplitCommand(commandText(c, true))
	if err != nil {
		d.errorf(p.at, "process: %s", strings.Replace(err.Error(), "the command", "it", 1))
		return p
	}
	p.args, p.ok = args, true
	return p
}

// paramMatch decodes [initial|partial]; without a value all arguments must be equal.
func (d *decoder) paramMatch(p *process, c *cursor) {
	if !c.value() {
		p.match.set(failover.ParamExact, c.keyword, true)
		return
	}
	s, at, ok := d.oneOf(c, "initial", "partial")
	m := failover.ParamInitial
	if s == "partial" {
		m = failover.ParamPartial
	}
	p.match.set(m, at, ok)
}

func (d *decoder) trackProcess(c *cursor) {
	p := &process{tracked: tracked{word: c.keyword.Text}}
	name, ok := d.next(c, "a name")
	p.name = name
	walk(d, processWords, p, d.body(c))
	if ok && d.track(failover.TrackProcess, &p.tracked) {
		d.processes = append(d.processes, p)
	}
}

// resolveProcess returns the configuration of tracked processes.
func (d *decoder) resolveProcess(p *process) failover.ProcessConfig {
	out := failover.ProcessConfig{
		Name: p.name.Text, FullCommand: p.full, Quorum: p.quorum.or(1), QuorumMax: p.quorumMax.or(0),
		ForkDelay: p.forkDelay.or(0), TerminateDelay: p.termDelay.or(0),
	}
	if p.command == nil {
		d.errorf(p.name, "vrrp_track_process %s: process is missing", p.name.Text)
		return out
	}
	out.Args = p.command.args
	def := failover.ParamAny
	if len(out.Args) > 1 {
		def = failover.ParamExact
	}
	out.Match = p.match.or(def)
	if p.command.ok && p.match.ok && len(out.Args) < 2 && out.Match != failover.ParamExact {
		d.warnf(p.match.at, "param_match %s has no effect: process gives no arguments to compare", p.match.at.Text)
		out.Match = failover.ParamAny
	}
	if p.quorum.value > p.quorumMax.value && p.quorumMax.ok && p.quorum.ok {
		d.errorf(p.quorumMax.at, "quorum_max %d is below quorum %d", out.QuorumMax, out.Quorum)
	}
	return out
}

// resolveTrackers returns what routers depend on. What none does is left out.
func (d *decoder) resolveTrackers(cfg *failover.Config) {
	d.resolveCheckGroups(cfg)
	for _, s := range d.scripts {
		before := len(d.uses)
		if out := d.resolveScript(s); s.wanted {
			cfg.Scripts = append(cfg.Scripts, out)
		} else {
			d.uses = d.uses[:before]
		}
		d.unused(&s.tracked, "never runs")
	}
	for _, f := range d.files {
		if out := d.resolveFile(f); f.wanted {
			cfg.Files = append(cfg.Files, out)
		}
		d.unused(&f.tracked, "is not watched")
	}
	for _, p := range d.processes {
		if out := d.resolveProcess(p); p.wanted {
			cfg.Processes = append(cfg.Processes, out)
		}
		d.unused(&p.tracked, "is not watched")
	}
	for _, h := range d.checks {
		if out := d.resolveCheck(h); h.wanted {
			cfg.Checks = append(cfg.Checks, out)
			if at := h.probe; at != nil && out.Probe.CA != "" {
				cfg.Authorities = append(cfg.Authorities, failover.FileUse{Path: out.Probe.CA, File: at.ca.Pos.File, Line: at.ca.Pos.Line, Column: at.ca.Pos.Column})
			}
		}
		if !h.named {
			d.warnf(h.name, "health_check %s never looks: no instance, group, site or watch_site names it", h.name.Text)
		}
	}
}

func (d *decoder) unused(t *tracked, what string) {
	if !t.named {
		d.warnf(t.name, "%s %s %s: no instance or group tracks it", t.word, t.name.Text, what)
	}
}
