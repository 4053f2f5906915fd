package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"failoverd/conf"
	"failoverd/failover"
)

func panicProcess() int {
	a, err := New(Options{
		File: "f", StateDir: os.Args[2], Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		Load: func() (*failover.Config, []conf.Diagnostic, error) {
			return &failover.Config{BGPLease: time.Second}, nil, nil
		},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go a.deliver(nil) // no input is nil
	if err := a.Run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return 0
}

// A panic in the loop ends the process at once, with a stack, and after what was logged before.
func TestPanicEndsTheProcess(t *testing.T) {
	cmd := exec.Command(os.Args[0], "panic", t.TempDir())
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 {
		t.Errorf("%v, want exit status 2", err)
	}
	for _, want := range []string{"msg=started", "panic:", "daemon.(*loop).step"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
}
