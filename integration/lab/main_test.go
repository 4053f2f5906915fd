package lab_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"failoverd/integration/lab"
)

// helperEnv makes the test binary play another program, so that the tests need none.
const helperEnv = "FO_LAB_TEST_HELPER"

func TestMain(m *testing.M) {
	switch role := os.Getenv(helperEnv); role {
	case "":
		os.Exit(m.Run())
	case "idle":
		fmt.Println("idle")
		idle()
	case "parent": // leaves a child behind in a session of its own
		os.Exit(startStray())
	case "stoppable":
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGTERM)
		fmt.Println("ready")
		<-c
		os.Exit(7)
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("ready")
		time.Sleep(time.Hour)
	case "userns":
		os.Exit(insideUserNamespace())
	case "userns-interrupted":
		os.Exit(userNamespaceUntilSignal())
	case "upstream":
		os.Exit(upstream())
	case "interrupted":
		os.Exit(waitForSignal())
	case "panics":
		panicsInLab()
	default:
		fmt.Fprintf(os.Stderr, "helper %q?\n", role)
		os.Exit(2)
	}
}

// idle does nothing until it is killed. A program without cgo that waits for nothing at all would be ended for its deadlock.
func idle() {
	for {
		time.Sleep(time.Hour)
	}
}

func upstream() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := lab.UpstreamMain(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func startStray() int {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), helperEnv+"=idle")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Printf("child %d\n", cmd.Process.Pid)
	idle()
	return 0
}

// helper is the command line of this test binary in a role.
func helper(role string) lab.Command {
	return lab.Command{Name: role, Argv: []string{"/proc/self/exe"}, Env: []string{helperEnv + "=" + role}}
}
