package daemon

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

// gate is a handler that waits until it is opened.
type gate struct {
	slog.Handler
	open chan struct{}
}

func (g gate) Handle(ctx context.Context, r slog.Record) error {
	<-g.open
	return g.Handler.Handle(ctx, r)
}

func TestLogQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(testLog)
		g := gate{slog.NewTextHandler(log, nil), make(chan struct{})}
		q := newLogQueue(g)
		l := q.logger()
		go l.Info("before the start")
		synctest.Wait()
		if log.String() != "" {
			t.Fatal("before the start a record goes around the handler")
		}
		q.start()
		for range logRecords + 10 {
			l.Info("during") // must not block
			synctest.Wait()
		}
		close(g.open)
		synctest.Wait()
		l.With("k", "v").WithGroup("g").Info("with", "a", 1)
		q.stop()
		l.Info("after the end")
		// One record had left the queue, and waited in the handler.
		for text, want := range map[string]int{
			"msg=during\n": logRecords + 1, "dropped=9\n": 1, "msg=with k=v g.a=1\n": 1, "msg=\"after the end\"\n": 1, "msg=\"before the start\"\n": 1,
		} {
			if n := log.count(text); n != want {
				t.Errorf("%q: %d times, want %d", text, n, want)
			}
		}
	})
}

// The end does not wait for a log that blocks.
func TestLogQueueGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate{slog.NewTextHandler(new(testLog), nil), make(chan struct{})}
		q := newLogQueue(g)
		q.start()
		q.logger().Info("stuck")
		begin := time.Now()
		q.stop()
		if d := time.Since(begin); d != logEnd {
			t.Errorf("stop took %v", d)
		}
		q.logger().Info("after the end") // must not block
		close(g.open)
	})
}

// A flush waits for what was logged before, but not for a log that blocks.
func TestLogFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(testLog)
		g := gate{slog.NewTextHandler(log, nil), make(chan struct{})}
		q := newLogQueue(g)
		q.flush()
		q.start()
		q.logger().Info("one")
		begin := time.Now()
		q.flush()
		if d := time.Since(begin); d != logEnd || log.count("msg=one") != 0 {
			t.Errorf("flush took %v", d)
		}
		for range logRecords {
			q.logger().Info("more")
		}
		q.flush() // there is no room for it
		if d := time.Since(begin); d != 2*logEnd {
			t.Errorf("both took %v", d)
		}
		close(g.open)
		synctest.Wait()
		q.logger().Info("last")
		q.flush()
		if d := time.Since(begin); d != 2*logEnd || log.count("msg=last") != 1 {
			t.Errorf("all took %v; log:\n%s", d, log.String())
		}
		q.stop()
		q.flush()
	})
}
