package health

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"failoverd/failover"
)

const second = time.Second

func TestScriptSchedule(t *testing.T) {
	for _, c := range []struct {
		name   string
		script func(context.Context) outcome
		c      failover.ScriptConfig
		until  time.Duration
		want   string
	}{
		{
			"the interval is from start to start", taking(400 * time.Millisecond), chk(second, second), 2 * second, `
			0s: chk begins
			400ms: chk ok (exit status 0)
			1s: chk begins
			2s: chk begins`,
		},
		{
			"a run that is longer than the interval delays the next one", taking(2500 * time.Millisecond), chk(second, 5*second), 5 * second, `
			0s: chk begins
			2.5s: chk ok (exit status 0)
			2.5s: chk begins
			5s: chk begins`,
		},
		{
			"a run that hangs fails at its timeout, and again while it cannot be killed", taking(3500 * time.Millisecond), chk(second, second), 3500 * time.Millisecond, `
			0s: chk begins
			1s: chk failed (timed out after 1s: from chk)
			3.5s: chk begins`,
		},
		{
			"a failure is told with the last line of output and how often it was seen",
			instantly("+---"),
			failover.ScriptConfig{Fall: 3},
			3 * second, `
			0s: chk begins
			0s: chk ok (exit status 0)
			1s: chk begins
			2s: chk begins
			3s: chk begins
			3s: chk failed (exit status 1, 3 in a row: from chk)`,
		},
		{
			"init_fail is a failure until rise successes", instantly("++"), failover.ScriptConfig{Rise: 2, InitFail: true}, 2 * second, `
			0s: chk failed (no success yet (init_fail))
			0s: chk begins
			1s: chk begins
			1s: chk ok (exit status 0, 2 in a row)
			2s: chk begins`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t)
				s.scripts["chk"] = c.script
				cfg := chk(second, second)
				if c.c.Interval != 0 {
					cfg = c.c
				}
				cfg.Rise, cfg.Fall, cfg.InitFail = max(c.c.Rise, 1), max(c.c.Fall, 1), c.c.InitFail
				s.m.Configure(scripts(cfg))
				s.start()
				s.pass(c.until)
				s.expect(c.want)
				if err := s.stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestHungScriptReachesFall: while a run cannot be killed, each interval is one more failure, so that fall is reached.
func TestHungScriptReachesFall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		first := true
		release := make(chan struct{})
		s.scripts["chk"] = func(context.Context) outcome {
			if first {
				first = false
				return outcome{ok: true, cause: "exit status 0"}
			}
			<-release // deaf to everything
			return outcome{ok: true, cause: "exit status 0"}
		}
		cfg := chk(second, second)
		cfg.Fall = 3
		s.m.Configure(scripts(cfg))
		s.start()
		s.pass(5 * second)
		s.expect(`0s: chk begins
			0s: chk ok (exit status 0)
			1s: chk begins
			4s: chk failed (timed out after 1s, 3 in a row: from chk)`)
		close(release)
		s.pass(5 * second)
		s.expect(`5.001s: chk begins
			5.001s: chk ok (exit status 0)`)
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestOpenForm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		cfg := failover.ScriptConfig{Name: "file", Open: "/f", Interval: second, Timeout: second, Rise: 1, Fall: 2}
		hang := make(chan struct{})
		n := 0
		s.scripts["/f"] = func(context.Context) outcome {
			switch n++; n {
			case 1:
				return outcome{ok: true}
			case 2:
				<-hang // the file server is dead
				return outcome{ok: true}
			}
			return outcome{}
		}
		s.m.Configure(scripts(cfg))
		s.start()
		s.pass(4 * second)
		s.expect(`0s: file ok (can be opened)
			3s: file failed (timed out after 1s, 2 in a row)`)
		if n != 2 {
			t.Errorf("%d attempts, want the one that hangs and the one before", n)
		}
		close(hang)
		s.pass(6 * second)
		s.expect(`4.001s: file ok (can be opened)
			6s: file failed (cannot be opened: permission denied, 2 in a row)`)
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestOtherFailureIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		results := []outcome{{cause: "exit status 1"}, {cause: "exit status 1"}, {cause: "killed by signal 9"}, {ok: true, cause: "exit status 0"}}
		s.scripts["chk"] = func(context.Context) outcome {
			o := results[0]
			results = append(results[1:], o)
			return o
		}
		s.m.Configure(scripts(chk(second, second)))
		s.start()
		s.pass(3 * second)
		s.expect(`0s: chk begins
			0s: chk failed (exit status 1: from chk)
			1s: chk begins
			2s: chk begins
			2s: chk failed (killed by signal 9: from chk)
			3s: chk begins
			3s: chk ok (exit status 0)`)
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestEndKills: when Run ends, and when a script is removed, what runs is killed, and not reported.
func TestEndKills(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.scripts["chk"], s.scripts["other"] = taking(time.Hour), taking(time.Hour)
		other := chk(time.Hour, time.Hour)
		other.Name, other.Command.Args = "other", []string{"other"}
		s.m.Configure(scripts(chk(time.Hour, time.Hour), other))
		s.start()
		s.pass(second)
		s.expect("0s: chk begins\n0s: other begins")
		s.m.Configure(scripts(other))
		s.expect("1.001s: chk is killed")
		s.pass(2 * second)
		if err := s.stop(); err != nil {
			t.Error(err)
		}
		s.expect("2.001s: other is killed")
	})
}

// TestEndNamesWhatDoesNot: Run does not wait for ever for a script that cannot be killed.
func TestEndNamesWhatDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		release := make(chan struct{})
		s.scripts["chk"] = func(context.Context) outcome { <-release; return outcome{} }
		s.m.Configure(scripts(chk(second, second)))
		s.start()
		s.pass(0)
		err := s.stop()
		if err == nil || !strings.Contains(err.Error(), "vrrp_script chk") {
			t.Errorf("got %v", err)
		}
		if took := time.Since(s.zero); took > 6*second {
			t.Errorf("took %v", took)
		}
		close(release)
		synctest.Wait()
	})
}

func TestReconfigure(t *testing.T) {
	base := chk(10*second, 10*second)
	base.Fall = 2
	with := func(f func(*failover.ScriptConfig)) failover.ScriptConfig {
		c := base
		f(&c)
		return c
	}
	for _, c := range []struct {
		name   string
		script func(context.Context) outcome
		next   failover.ScriptConfig
		want   string // after a change at 4.001 s, until 20 s
	}{
		{"the same is not disturbed", instantly("+"), base, "10s: chk begins\n20s: chk begins"},
		{
			"a shorter interval keeps the verdict and the phase", instantly("+-"),
			with(func(c *failover.ScriptConfig) { c.Interval = 7 * second }),
			"7s: chk begins\n14s: chk begins\n14s: chk failed (exit status 1, 2 in a row: from chk)",
		},
		{
			"another fall keeps the verdict", instantly("+-"),
			with(func(c *failover.ScriptConfig) { c.Fall = 1 }),
			"10s: chk begins\n10s: chk failed (exit status 1: from chk)\n20s: chk begins",
		},
		{
			"another argument is another script", instantly("+"),
			with(func(c *failover.ScriptConfig) { c.Command.Args = []string{"chk", "-v"} }),
			"4.001s: chk begins\n4.001s: chk ok (exit status 0)\n14.001s: chk begins",
		},
		{
			"another user is another script", instantly("+"),
			with(func(c *failover.ScriptConfig) { c.Command.User = "nobody" }),
			"4.001s: chk begins\n4.001s: chk ok (exit status 0)\n14.001s: chk begins",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t)
				s.scripts["chk"] = c.script
				s.m.Configure(scripts(base))
				s.start()
				s.pass(4 * second)
				s.expect("0s: chk begins\n0s: chk ok (exit status 0)")
				s.m.Configure(scripts(c.next))
				s.pass(20 * second)
				s.expect(c.want)
				if err := s.stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestReplacedRunEndsFirst: a script and the one that replaces it may be after the same lock.
func TestReplacedRunEndsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.scripts["chk"] = func(ctx context.Context) outcome {
			<-ctx.Done()
			time.Sleep(2 * second) // it takes its time to die
			return outcome{}
		}
		c := chk(10*second, 10*second)
		s.m.Configure(scripts(c))
		s.start()
		s.pass(second)
		c.Command.Args = []string{"chk", "-v"}
		s.m.Configure(scripts(c))
		s.pass(4 * second)
		s.expect("0s: chk begins\n3.001s: chk is killed\n3.001s: chk begins")
		if err := s.stop(); err != nil {
			t.Error(err)
		}
		s.said = nil
	})
}

// TestManyScripts: they do not start in one instant, each keeps its place, and all have a result soon.
func TestManyScripts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		var list []failover.ScriptConfig
		for i := range 1000 {
			c := chk(second, second)
			c.Name = fmt.Sprintf("s%d", i)
			c.Command.Args = []string{c.Name}
			s.scripts[c.Name] = instantly("+")
			list = append(list, c)
		}
		s.m.Configure(scripts(list...))
		s.start()
		s.pass(2998 * time.Millisecond)
		synctest.Wait()
		s.mu.Lock()
		starts, results := map[string]int{}, 0
		for _, line := range s.said {
			if at, ok := strings.CutSuffix(line, "begins"); ok {
				starts[strings.Fields(at)[0]]++
			} else {
				results++
			}
		}
		s.said = nil
		s.mu.Unlock()
		if results != 1000 {
			t.Errorf("%d results", results)
		}
		total := 0
		for at, n := range starts {
			total += n
			if n > startTogether+1 {
				t.Errorf("%d starts at %s", n, at)
			}
		}
		if total != 3000 {
			t.Errorf("%d runs in 3 s", total)
		}
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestSlowListener: checks go on while nobody takes their reports, and only the newest of each waits.
func TestSlowListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.scripts["chk"] = instantly("+-+-+-+-+-")
		s.m.Configure(scripts(chk(second, second)))
		ctx, cancel := context.WithCancel(t.Context())
		var got []bool
		over := make(chan error)
		go func() {
			over <- s.m.Run(ctx, func(r failover.TrackerReport) {
				got = append(got, r.OK)
				time.Sleep(3500 * time.Millisecond)
			})
		}()
		s.pass(4 * second)
		synctest.Wait()
		if want := []bool{true, false}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		cancel()
		if err := <-over; err != nil {
			t.Error(err)
		}
	})
}

func TestConfigureWithoutRun(t *testing.T) {
	m := New(Options{})
	m.Configure(scripts(chk(second, second)))
	m.Configure(nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.Run(ctx, func(r failover.TrackerReport) { t.Errorf("reported %+v", r) }); err != nil {
		t.Error(err)
	}
}
