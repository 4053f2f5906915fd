package speaker

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"
)

// TestMain makes the test binary a speaker process when it is started as one, or an agent that is going to be killed.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "speaker":
			os.Exit(speakerProcess())
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

func speakerProcess() int {
	o, err := ParseOptions(os.Args[2:])
	if err == nil {
		err = Main(context.Background(), o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
