package failovertest

import (
	"io"

	"failoverd/failover"
	"failoverd/failover/record"
	"failoverd/vrrp"
)

// Recorder is a trace that wants to have the cores recorded, too.
type Recorder interface {
	// Record returns the begin of the recording of another core; nil: it is not recorded.
	Record() *record.Start
}

// NewCore returns a core, recorded if the trace is a Recorder.
func NewCore(trace io.Writer, cfg *failover.Config, now vrrp.Instant) (*record.Core, error) {
	var start *record.Start
	if r, ok := trace.(Recorder); ok {
		start = r.Record()
	}
	return record.New(cfg, now, start)
}

// ScriptTraced is Script with a trace, which may be a Recorder.
func ScriptTraced(text string, trace io.Writer) (string, error) { return runScript(text, trace) }
