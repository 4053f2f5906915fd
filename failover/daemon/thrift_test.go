package daemon

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"failoverd/failover"
)

func TestThrift(t *testing.T) {
	for _, tt := range []struct {
		name    string
		process failover.ProcessSettings
		ends    time.Duration // when the agent does
		want    uint32        // how often it gives memory back
	}{
		{"once", failover.ProcessSettings{}, time.Hour, 1},
		{"not in an agent that ends before", failover.ProcessSettings{}, thriftDelay / 2, 0},
		{"not while memory is locked", failover.ProcessSettings{NoSwap: true}, time.Hour, 0},
		{"not with real-time priority", failover.ProcessSettings{RealTime: 50}, time.Hour, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), tt.ends)
				defer cancel()
				before := forcedCollections()
				beThrifty(ctx, &tt.process)
				if got := forcedCollections() - before; got != tt.want {
					t.Errorf("memory was given back %d times, want %d", got, tt.want)
				}
			})
		})
	}
}

func forcedCollections() uint32 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.NumForcedGC
}
