// Package script runs the commands of a configuration - checks, notify scripts, readers of FIFOs - the way keepalived
// does: without a shell, in a process group of their own, as the configured user, with what they write going to the
// log. What keepalived lets slip is an error here: a command that is missing, not executable, insecure, or whose user
// does not exist cannot run, and Run and Check say why.
//
// A process of a script gets
//
//   - the arguments as they stand; a program without a slash is looked for in PATH; a text file without "#!" is run by
//     /bin/sh, as keepalived's system() would;
//   - the environment of the agent, less what is meant for the agent alone: NOTIFY_SOCKET, LISTEN_*, WATCHDOG_* and
//     FAILOVERD_*;
//   - / as its directory, /dev/null as its input, a pipe to Exec.Output as its output and no other descriptor;
//   - the agent's umask, an empty signal mask and ordinary scheduling, whatever the agent's thread has.
//
// Start with Run, then program (which file runs, and may it), identity (as whom), launch (how it is started) and group
// (how it ends). Goroutines of one Run: the caller's supervises; one waits for the command; two handle its
// output, one reading and one calling Exec.Output.
package script

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"time"

	"failoverd/failover"
)

// Policy is what a configuration says about all of its commands.
type Policy struct {
	// Security refuses a command that would run as root if anybody but root could change the program, or a directory
	// or symbolic link on the way to it (enable_script_security).
	Security bool
	// SupplementaryGroups gives a command all groups of its user instead of one (set_supplementary_groups).
	SupplementaryGroups bool
}

// DefaultGrace is the time between SIGTERM and SIGKILL if Exec.Grace is zero.
const DefaultGrace = 2 * time.Second

// Exec says how to run a command once.
type Exec struct {
	// Extra are arguments after those of the command.
	Extra []string
	// Timeout is after which the command is ended; 0: it may take as long as it wants.
	Timeout time.Duration
	// Grace is the time between SIGTERM and SIGKILL; 0: DefaultGrace; negative: SIGKILL at once.
	Grace time.Duration
	// Kill ends the command with SIGKILL, and without any grace, when it is closed; nil: nothing does.
	Kill <-chan struct{}
	// Bar is held while the command is started; nil: nobody wants to keep it from that.
	Bar sync.Locker
	// Output is called with each line that the command writes to its output or error output, without its end, from one
	// goroutine that is not the caller's. Lines are cut at MaxLine octets, and what comes too fast is dropped, except
	// for the last line. It is not called any more when Run has returned, unless one call takes longer than a second.
	// nil: what is written goes to /dev/null.
	Output func(line string)
}

// Result is what became of a command that was started.
type Result struct {
	// Status is the exit status, 0 to 255; 0 if a signal ended the command.
	Status int
	// Signal ended the command; 0: it exited.
	Signal syscall.Signal
	// TimedOut: the timeout was over, so that the command was ended.
	TimedOut bool
	// Stopped: the context was done or Kill closed, so that the command was ended.
	Stopped bool
	// Killed: SIGTERM was not enough for the command or a process that it had started.
	Killed bool
	// Limit is the timeout that the command had.
	Limit time.Duration
	// Took is how long the command ran.
	Took time.Duration
}

// OK reports whether the command ended by itself with exit status 0.
func (r Result) OK() bool { return r.Status == 0 && r.Signal == 0 && !r.TimedOut && !r.Stopped }

// String says what happened, such as "exit status 1", "ended by SIGSEGV" or "timed out after 2s, killed".
func (r Result) String() string {
	var s string
	switch {
	case r.TimedOut:
		s = "timed out after " + r.Limit.String()
	case r.Stopped:
		s = "stopped"
	case r.Signal != 0:
		return "ended by " + signalName(r.Signal)
	default:
		return fmt.Sprintf("exit status %d", r.Status)
	}
	if r.Killed {
		return s + ", killed"
	}
	return s + ", terminated"
}

// Check says why a command cannot run, or returns nil: its program is there and may be executed by its user, user and
// group exist, this process may run commands as them, and the policy allows it. It starts nothing. Whether Run then
// succeeds is also up to what Check does not look at: limits of the machine, and the answer of the program.
func Check(cmd failover.Command, p Policy) error {
	prog, err := find(cmd, p)
	if err != nil {
		return err
	}
	return prog.interpretable()
}

// Run runs a command once and returns what became of it. An error says that it could not be started, or that nobody can say
// how it ended: for a check this is a failure, too.
//
// When the timeout is over or ctx is done, the whole process group gets SIGTERM and, what is left of it after the
// grace, SIGKILL. Run returns when the command has ended and been reaped, and in that case none of its process group is
// left. So it lasts no longer than timeout and grace, unless the kernel itself holds the process (a dead file server).
// Processes that a command which ended by itself leaves in the background are left alone, also if they hold its output
// open: that is read, and thrown away, for as long as they live.
//
// Real-time scheduling is not handed down. The agent's threads should have SCHED_RESET_ON_FORK anyway; one that has not
// gets it here.
func Run(ctx context.Context, cmd failover.Command, p Policy, x Exec) (Result, error) {
	prog, err := find(cmd, p)
	if err != nil {
		return Result{}, err
	}
	if err := ctx.Err(); err != nil {
		return Result{}, fmt.Errorf("run %s: %w", prog.path, err)
	}
	out, err := newCapture(x.Output)
	if err != nil {
		return Result{}, fmt.Errorf("run %s: %w", prog.path, err)
	}
	child, err := x.launch(prog, append(cmd.Args[1:len(cmd.Args):len(cmd.Args)], x.Extra...), out)
	out.begin()
	if err != nil {
		out.end()
		return Result{}, err
	}
	r, err := child.supervise(ctx, &x)
	out.end()
	if err != nil {
		return r, fmt.Errorf("run %s: %w", prog.path, err)
	}
	return r, nil
}

func (x *Exec) launch(prog program, args []string, out *capture) (*group, error) {
	if x.Bar != nil {
		x.Bar.Lock()
		defer x.Bar.Unlock()
	}
	return launch(prog, args, out)
}
