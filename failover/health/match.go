package health

import (
	"path"
	"slices"
	"strings"

	"failoverd/failover"
)

// commSize is how much of a program's name the kernel keeps for a process.
const commSize = 15

// pattern says which processes count, as vrrp_track_process does.
type pattern struct {
	args  []string
	match failover.ParamMatch
	full  bool
}

func newPattern(c *failover.ProcessConfig) pattern {
	return pattern{args: c.Args, match: c.Match, full: c.FullCommand}
}

func (p *pattern) same(o *pattern) bool {
	return p.match == o.match && p.full == o.full && slices.Equal(p.args, o.args)
}

// byName reports whether the kernel's name of a process decides, instead of its command line.
func (p *pattern) byName() bool {
	return !p.full && p.match == failover.ParamAny && len(p.args) > 0 && !strings.Contains(p.args[0], "/")
}

// matches reports whether a process counts. command is asked for the command line only where it matters; one that is
// empty, as that of a kernel thread, matches nothing.
func (p *pattern) matches(comm string, command func() []string) bool {
	if len(p.args) == 0 {
		return false
	}
	if p.byName() {
		name := p.args[0]
		return comm == name[:min(len(name), commSize)]
	}
	argv := command()
	if len(argv) == 0 || !sameProgram(p.args[0], argv[0]) {
		return false
	}
	return sameArguments(p.match, p.args[1:], argv[1:])
}

func sameProgram(want, have string) bool {
	if !strings.Contains(want, "/") {
		have = path.Base(have)
	}
	return want == have
}

func sameArguments(m failover.ParamMatch, want, have []string) bool {
	switch m {
	case failover.ParamAny:
		return true
	case failover.ParamExact:
		return slices.Equal(want, have)
	case failover.ParamInitial:
		return len(have) >= len(want) && slices.Equal(want, have[:len(want)])
	case failover.ParamPartial:
		n := len(want)
		return n == 0 || len(have) >= n && slices.Equal(want[:n-1], have[:n-1]) && strings.HasPrefix(have[n-1], want[n-1])
	}
	return false
}
