package speaker

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"failoverd/bgp/call"
)

// TestMain makes the test binary a speaker process when it is started as one, or an agent that is going to be killed.
func TestMain(m *testing.M) {
	memoryScale = raceFactor
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "speaker":
			os.Exit(speakerProcess(nil))
		case "speaker-without-calls":
			os.Exit(speakerProcess(takeCallSocket))
		case "speaker-with-little-memory":
			memoryScale = 0.05
			os.Exit(speakerProcess(nil))
		case "agent":
			os.Exit(agentProcess())
		}
	}
	flag.Parse()
	// These tests wait for timers of the protocol, not for the processor.
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// speakerProcess is a speaker process, after before, if that is not nil, has looked at its options.
func speakerProcess(before func(Options) error) int {
	o, err := ParseOptions(os.Args[2:])
	if err == nil && before != nil {
		err = before(o)
	}
	if err == nil {
		err = Main(context.Background(), o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// takeCallSocket takes a process's place for urgent calls, so that it takes them by gRPC only, as one of an older version does.
func takeCallSocket(o Options) error {
	return os.WriteFile(filepath.Join(filepath.Dir(o.Socket), call.SocketName), nil, 0o600)
}
