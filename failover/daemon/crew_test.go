package daemon

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestCrew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c crew
		hang := make(chan struct{})
		c.spawn("quick", func() {})
		c.spawn("slow", func() { time.Sleep(time.Second) })
		c.spawn("hanging", func() { <-hang })
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		begin := time.Now()
		if late := c.wait(ctx); !slices.Equal(late, []string{"hanging"}) || time.Since(begin) != 2*time.Second {
			t.Errorf("late after %v: %v", time.Since(begin), late)
		}
		close(hang)
		synctest.Wait()
		<-c.spawn("next", func() {})
		if len(c.members) > 2 {
			t.Errorf("those that have ended are kept: %v", c.members)
		}
		if late := c.wait(ctx); late != nil {
			t.Errorf("late: %v", late)
		}
	})
}
