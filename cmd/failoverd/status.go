package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"failoverd/failover/daemon"
	"failoverd/failover/status"
)

// watchInterval is the time between two looks of status --watch.
const watchInterval = time.Second

// socketFlags find the agent to talk to.
type socketFlags struct {
	fileFlags
	socket string
}

func (f *socketFlags) register(flags *pflag.FlagSet) {
	f.fileFlags.register(flags)
	flags.StringVarP(&f.socket, "socket", "s", "", "the agent's status socket at `PATH`; default: as in FILE, or status.sock in $FAILOVERD_STATE_DIR or "+defaultStateDir)
}

// client returns a client of the socket that is asked for: -s; or that of the file in -f; or the default, if there is a
// socket; or that of the default file.
func (p *program) client(f *socketFlags) *status.Client {
	path := filepath.Join(p.stateDir(""), "status.sock")
	if f.socket != "" {
		return status.Dial(f.socket)
	}
	_, err := os.Lstat(path)
	if f.file == "" && !errors.Is(err, fs.ErrNotExist) {
		return status.Dial(path)
	}
	if cfg, _, err := daemon.Load(f.options()); err == nil && cfg != nil {
		path = filepath.Join(p.stateDir(cfg.Process.NetNamespace), "status.sock")
		if cfg.StatusSocket != "" {
			path = cfg.StatusSocket
		}
	}
	return status.Dial(path)
}

// statusFlags are the options of status.
type statusFlags struct {
	socketFlags
	json  bool
	watch bool
	name  string
}

func (p *program) statusCommand() *cobra.Command {
	var f statusFlags
	cmd := &cobra.Command{
		Use:   "status [--json] [--watch] [NAME]",
		Short: "Show the state of the running agent, or of one router, service, check or check group",
		Long: `Show the state of the running agent: its routers and what keeps them from running or changes their priority,
sync groups, BGP sessions and sockets; or everything about the router NAME (a name, or a key like eth0/4/51), or
about the anycast service, the health check or the check group of that name.

Exit status: 0, or 1 when no agent answers or nothing has that name.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				f.name = args[0]
			}
			c := p.client(&f.socketFlags)
			if f.watch {
				ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
				defer stop()
				return p.watch(ctx, c, &f)
			}
			out, err := p.look(cmd.Context(), c, &f)
			if err != nil {
				return &exitError{exitFatal, err}
			}
			_, err = p.stdout.Write(out)
			return outputError(err)
		},
	}
	f.register(cmd.Flags())
	cmd.Flags().BoolVar(&f.json, "json", false, "print the agent's answer as it is; with --watch, one line each time")
	cmd.Flags().BoolVarP(&f.watch, "watch", "w", false, "look again every second until interrupted")
	return cmd
}

// look asks once and returns what to print.
func (p *program) look(ctx context.Context, c *status.Client, f *statusFlags) ([]byte, error) {
	if f.json {
		b, err := c.StatusJSON(ctx, f.name)
		if err != nil || !f.watch {
			return b, err
		}
		var line bytes.Buffer
		err = json.Compact(&line, b)
		line.WriteByte('\n')
		return line.Bytes(), err
	}
	s, err := c.Status(ctx)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	o := p.tableOptions()
	if f.name == "" {
		err = status.Table(&b, s, o)
		return b.Bytes(), err
	}
	if a := status.FindService(s, f.name); a != nil {
		err = status.ServiceDetail(&b, s, a, o)
		return b.Bytes(), err
	}
	r, err := status.FindRouter(s, f.name)
	if err != nil {
		if c := status.FindCheck(s, f.name); c != nil {
			err = status.CheckDetail(&b, s, c, o)
			return b.Bytes(), err
		}
		if g := status.FindCheckGroup(s, f.name); g != nil {
			err = status.CheckGroupDetail(&b, s, g, o)
			return b.Bytes(), err
		}
		return nil, err
	}
	err = status.Detail(&b, s, r, o)
	return b.Bytes(), err
}

// watch looks every second. An agent that is not there is waited for: it may be starting again.
func (p *program) watch(ctx context.Context, c *status.Client, f *statusFlags) error {
	_, screen := terminalWidth(p.stdout)
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		out, err := p.look(ctx, c, f)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && f.json {
			fmt.Fprintf(p.stderr, "failoverd: %v\n", err)
		} else if err != nil {
			out = fmt.Appendf(nil, "%v\n", err)
		}
		if screen && !f.json {
			out = repaint(out)
		} else if !f.json {
			out = append(out, '\n')
		}
		if _, err := p.stdout.Write(out); err != nil {
			return outputError(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// repaint makes text replace the screen without flicker: from the top, each line erased to its end, then the rest.
func repaint(text []byte) []byte {
	return []byte("\x1b[H" + strings.ReplaceAll(string(text), "\n", "\x1b[K\n") + "\x1b[J")
}

func (p *program) tableOptions() status.TableOptions {
	width, terminal := terminalWidth(p.stdout)
	return status.TableOptions{Width: width, Color: terminal && p.getenv("NO_COLOR") == "" && p.getenv("TERM") != "dumb"}
}

// outputError is the end of a command that could not print. A reader that has seen enough is not an error.
func outputError(err error) error {
	if err == nil || errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return &exitError{exitFatal, fmt.Errorf("write output: %w", err)}
}
