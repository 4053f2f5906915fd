package failovertest

import (
	"os"
	"runtime/debug"
	"testing"
)

// TestMain has the collector work less often: a world lives for milliseconds.
func TestMain(m *testing.M) {
	debug.SetGCPercent(800)
	os.Exit(m.Run())
}
