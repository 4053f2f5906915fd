package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// DemoOptions are what `failoverd demo` can be asked for.
type DemoOptions struct {
	// Binary is the failoverd to run; empty: this program. It has to know the commands run and demo-upstream; the latter
	// hands its arguments to UpstreamMain.
	Binary string
	// JSON prints one JSON object a line: each event of the timeline, then the result.
	JSON bool
	// Keep leaves everything running after the result until ctx ends, and says how to look around.
	Keep bool
	// ShowConfig prints the configuration files and does nothing else.
	ShowConfig bool
	// Verbose adds every advertisement and BGP session to the timeline.
	Verbose bool
	// Scenario is the name of one of Scenarios; empty: the first.
	Scenario string
	// Out takes the timeline and the result, Err what went wrong; nil: standard output and standard error.
	Out, Err io.Writer
}

// Exit statuses of Demo.
const (
	demoFailed      = 1
	demoInterrupted = 130
)

// Demo builds two sites, an upstream and a client inside network namespaces of its own, runs real agents there, and
// plays one of Scenarios. It prints a timeline, then what the client saw beside what theory allows, and returns the exit
// status: 0 when every verdict holds, 1 when one does not or something is missing, 130 when ctx ended first.
//
// An ordinary user is moved into a user namespace, by starting this program again with the same arguments; see
// EnterUserNamespace. Nothing is left behind when Demo returns.
func Demo(ctx context.Context, opts DemoOptions) (exit int) {
	if opts.Out == nil {
		opts.Out = os.Stdout
	}
	if opts.Err == nil {
		opts.Err = os.Stderr
	}
	fail := func(err error) int {
		fmt.Fprintln(opts.Err, "failoverd: demo:", err)
		return demoFailed
	}
	sc, err := findScenario(opts.Scenario)
	if err != nil {
		return fail(err)
	}
	if opts.ShowConfig {
		if err := showConfig(opts.Out, sc); err != nil {
			return fail(err)
		}
		return 0
	}
	if opts.Binary == "" {
		self, err := os.Executable()
		if err != nil {
			return fail(err)
		}
		opts.Binary = self
	}
	if code, done, err := EnterUserNamespace(); err != nil {
		return fail(err)
	} else if done {
		return code
	}
	l, err := New(Options{Name: "demo", Named: opts.Keep})
	if err != nil {
		return fail(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			exit = fail(err)
		}
	}()
	r, err := tell(ctx, l, sc, opts)
	switch {
	case ctx.Err() != nil && !r.ok():
		fmt.Fprintln(opts.Err, "failoverd: demo: interrupted")
		return demoInterrupted
	case err != nil:
		return fail(err)
	case !r.ok():
		logs(l, opts.Err)
		exit = demoFailed
	}
	if opts.Keep && ctx.Err() == nil {
		lookAround(l, opts)
		<-ctx.Done()
	}
	return exit
}

// tell plays the story in an empty lab and prints it. The error is about printing; what went wrong in the story is in
// the report.
func tell(ctx context.Context, l *Lab, sc *scenario, opts DemoOptions) (*report, error) {
	start := time.Now()
	r := &report{crashes: sc.crashes}
	w := sc.world()
	w.lab = l
	line := newTimeline(opts.Out, opts.JSON, start)
	n := newNarrator(w, line, opts.Verbose)
	r.err = firstError(w.build, w.observe)
	if r.err == nil {
		narrating, stop := context.WithCancel(ctx)
		ended := make(chan struct{})
		go func() { defer close(ended); n.run(narrating) }()
		s := &story{ctx: ctx, world: w, narrator: n, line: line, binary: opts.Binary, report: r}
		r.err = s.play(sc.acts(s))
		stop()
		<-ended
		r.late = w.probe.Late()
	}
	r.took = time.Since(start)
	err := line.close()
	if ctx.Err() != nil && !r.ok() {
		return r, err
	}
	if opts.JSON {
		return r, errors.Join(err, r.json(opts.Out))
	}
	return r, errors.Join(err, r.text(opts.Out))
}

// showConfig prints the files that the demo would run with.
func showConfig(out io.Writer, sc *scenario) error {
	w := sc.world()
	for _, m := range w.agents() {
		if _, err := fmt.Fprintf(out, "# %s.conf: failoverd run -f %s.conf\n%s\n", m.name, m.name, w.config(m)); err != nil {
			return err
		}
	}
	b, err := json.MarshalIndent(upstreamConfig(w.machines), "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "# the upstream router\n%s\n", b)
	return err
}

// logs prints the end of every process's log.
func logs(l *Lab, out io.Writer) {
	for _, p := range l.Processes() {
		fmt.Fprintf(out, "--- log of %s, process %d\n%s", p.Name(), p.PID(), p.Tail(3000))
	}
}

// lookAround says how to enter the nodes.
func lookAround(l *Lab, opts DemoOptions) {
	out := opts.Out
	if opts.JSON {
		out = opts.Err
	}
	enter := "nsenter --net=%s"
	if inside() {
		enter = fmt.Sprintf("nsenter --preserve-credentials --user=/proc/%d/ns/user --net=%%s", os.Getpid())
	}
	fmt.Fprintln(out, "\neverything keeps running until Ctrl-C. To enter a node:")
	for _, n := range l.Nodes() {
		fmt.Fprintf(out, "  %-9s "+enter+"\n", n.Name(), n.Path())
	}
	fmt.Fprintf(out, "status sockets, configuration files and logs are in %s\n", l.Dir())
}
