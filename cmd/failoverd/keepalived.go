package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"
)

// verdict is what becomes of an option of keepalived that failoverd does not have.
type verdict uint8

const (
	needless verdict = iota // does what failoverd does anyway, or is about a part that it does not have
	ignored                 // has no effect; the user is told
	refused                 // ignoring it would change what the machine does
)

// keepalivedOption is one option of keepalived's command line that has no effect of its own here.
type keepalivedOption struct {
	long, short string
	value       argument
	verdict     verdict
	why         string // completes "OPTION is ignored: " or "OPTION: "
}

// argument says whether an option takes a value.
type argument uint8

const (
	noArgument argument = iota
	optionalArgument
	requiredArgument
)

// keepalivedOptions holds what keepalived 2.2 and 2.4 understand and runFlags does not. Each is either harmless to pass
// over, or refused.
var keepalivedOptions = []keepalivedOption{
	{"log-console", "l", noArgument, needless, ""},
	{"no-syslog", "G", noArgument, needless, ""},
	{"vrrp", "P", noArgument, needless, ""},
	{"no_bfd", "B", noArgument, needless, ""},
	{"release-vips", "X", noArgument, needless, ""},
	{"all-config", "e", noArgument, needless, ""},
	{"no-mem-check", "", noArgument, needless, ""},
	{"dump-conf", "d", noArgument, ignored, "failoverd check says how a file is read"},
	{"all", "", noArgument, ignored, "there are no child processes to choose"},
	{"log-file", "g", optionalArgument, ignored, "the log goes to standard error, and from there to the journal"},
	{"flush-log-file", "", noArgument, ignored, "there is no log file"},
	{"checkers_pid", "c", requiredArgument, ignored, "there is no checker process"},
	{"bfd_pid", "b", requiredArgument, ignored, "there is no BFD process"},
	{"address-monitoring", "a", noArgument, ignored, "changes of virtual addresses are always logged"},
	{"dont-respawn", "R", noArgument, ignored, "an agent or a speaker that died is always started again"},
	{"dont-release-ipvs", "I", noArgument, ignored, "failoverd has no virtual servers"},
	{"snmp", "x", noArgument, ignored, "there is no SNMP; the status socket has the same figures"},
	{"snmp-agent-socket", "A", requiredArgument, ignored, "there is no SNMP; the status socket has the same figures"},
	{"core-dump", "m", noArgument, ignored, "set GOTRACEBACK=crash and a core size limit instead"},
	{"core-dump-pattern", "M", requiredArgument, ignored, "set kernel.core_pattern with sysctl"},
	{"debug", "", optionalArgument, ignored, "-D gives the detailed log"},
	{"perf", "", optionalArgument, ignored, "there is nothing to record"},
	{"mem-check-log", "L", noArgument, ignored, "memory is managed by the Go runtime"},
	{"check", "C", noArgument, refused, "failoverd has no virtual servers, so there is nothing to run without VRRP"},
	{"dont-release-vrrp", "V", noArgument, refused, "an address never outlives the agent that holds it"},
	{"config-fd", "", requiredArgument, refused, "give the file with -f"},
	{"genhash", "T", noArgument, refused, "failoverd has no genhash"},
}

// registerKeepalived adds keepalivedOptions to a command.
func registerKeepalived(flags *pflag.FlagSet) {
	for _, o := range keepalivedOptions {
		if o.value == noArgument {
			flags.BoolP(o.long, o.short, false, "")
		} else {
			flags.StringP(o.long, o.short, "", "")
		}
		f := flags.Lookup(o.long)
		f.Hidden = true
		if o.value == optionalArgument {
			f.NoOptDefVal = " "
		}
	}
}

// judgeKeepalived refuses the command line if an option that was given cannot be passed over, and names the ignored
// ones in one warning.
func judgeKeepalived(flags *pflag.FlagSet, stderr io.Writer) error {
	var warnings, refusals []string
	for _, o := range keepalivedOptions {
		if !flags.Changed(o.long) {
			continue
		}
		switch o.verdict {
		case needless:
		case ignored:
			warnings = append(warnings, fmt.Sprintf("%s (%s)", o.name(), o.why))
		case refused:
			refusals = append(refusals, fmt.Sprintf("option %s: %s", o.name(), o.why))
		}
	}
	if len(refusals) > 0 {
		return &exitError{exitUsage, fmt.Errorf("%s", strings.Join(refusals, "\nfailoverd: "))}
	}
	if len(warnings) > 0 {
		fmt.Fprintf(stderr, "failoverd: warning: ignored options: %s\n", strings.Join(warnings, ", "))
	}
	return nil
}

// name is the option as people write it.
func (o *keepalivedOption) name() string {
	if o.short == "" {
		return "--" + o.long
	}
	return "-" + o.short + "/--" + o.long
}
