package health

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"failoverd/failover"
)

// web is a check every second, with fall 3, rise 2 and half a second in between.
func webCheck() failover.CheckConfig {
	return failover.CheckConfig{
		Name: "web", Probe: failover.Probe{Target: "web"}, Interval: second, FallInterval: second / 2, Timeout: second, Rise: 2, Fall: 3,
	}
}

func checks(list ...failover.CheckConfig) *failover.Config { return &failover.Config{Checks: list} }

func TestHealthCheckSchedule(t *testing.T) {
	for _, c := range []struct {
		name   string
		probe  func() func(context.Context) outcome
		change func(*failover.CheckConfig)
		until  time.Duration
		want   string
	}{
		{
			"fall_interval while the verdict is about to change, and the evidence goes back to the first failure",
			anew("++---++"), nil, 6 * second, `
			0s: web begins
			0s: web ok (exit status 0)
			1s: web begins
			2s: web begins
			2.5s: web begins
			3s: web begins
			3s: web failed (exit status 1, 3 in a row), since 1s
			4s: web begins
			4.5s: web begins
			4.5s: web ok (exit status 0, 2 in a row), since 500ms
			5.5s: web begins`,
		},
		{
			"a single failure changes nothing, and the interval is back",
			anew("+-+"), nil, 4 * second, `
			0s: web begins
			0s: web ok (exit status 0)
			1s: web begins
			1.5s: web begins
			2.5s: web begins
			3.5s: web begins`,
		},
		{
			"without fall_interval", anew("+-"), func(c *failover.CheckConfig) { c.FallInterval = 0 }, 3 * second, `
			0s: web begins
			0s: web ok (exit status 0)
			1s: web begins
			2s: web begins
			3s: web begins
			3s: web failed (exit status 1, 3 in a row), since 2s`,
		},
		{
			"what does not answer delays the next run, and fails at its timeout",
			func() func(context.Context) outcome { return taking(time.Hour) }, func(c *failover.CheckConfig) { c.Fall = 1 }, 2 * second, `
			0s: web begins
			1s: web is killed
			1s: web failed (timed out after 1s), since 1s
			1s: web begins
			2s: web is killed
			2s: web begins`,
		},
		{
			"a node that cannot look says so, and is not sure for fall more results",
			anew("+--??--"), nil, 6 * second, `
			0s: web begins
			0s: web ok (exit status 0)
			1s: web begins
			1.5s: web begins
			2s: web begins
			2s: web unknown (no route)
			3s: web begins
			4s: web begins
			4.5s: web begins
			5s: web begins
			5s: web failed (exit status 1, 3 in a row), since 1s
			6s: web begins`,
		},
		{
			"the first result counts at once, whatever it is", anew("?+"), nil, second, `
			0s: web begins
			0s: web unknown (no route)
			1s: web begins`,
		},
		{
			"a round trip above the limit is a failure",
			func() func(context.Context) outcome { return slowing(100*time.Millisecond, 300*time.Millisecond) }, func(c *failover.CheckConfig) { c.MaxRTT, c.Window, c.Fall = 150*time.Millisecond, 2, 2 }, 3 * second, `
			0s: web begins
			0s: web ok (replies)
			1s: web begins
			1.5s: web begins
			1.5s: web failed (slower than max_rtt 150ms, 2 in a row: 300ms on average), since 500ms
			2.5s: web begins`,
		},
		{
			"down until it has proved itself", anew("++"), func(c *failover.CheckConfig) { c.Initial = failover.InitialDown }, 2 * second, `
			0s: web failed (initial down: there is no result yet)
			0s: web begins
			500ms: web begins
			500ms: web ok (exit status 0, 2 in a row), since 500ms
			1.5s: web begins`,
		},
		{
			"up until it has failed often enough", anew("---"), func(c *failover.CheckConfig) { c.Initial = failover.InitialUp }, 2 * second, `
			0s: web ok (initial up: there is no result yet)
			0s: web begins
			500ms: web begins
			1s: web begins
			1s: web failed (exit status 1, 3 in a row), since 1s
			2s: web begins`,
		},
		{
			"one that changes all the time stays down until it is steady", anew("+-+-++"), func(c *failover.CheckConfig) {
				c.Rise, c.Fall, c.Damping = 1, 1, failover.Damping{Changes: 3, Within: 10 * second, Steady: 3 * second}
			}, 8 * second, `
			0s: web begins
			0s: web ok (exit status 0)
			1s: web begins
			1s: web failed (exit status 1)
			2s: web begins
			2s: web ok (exit status 0)
			3s: web begins
			3s: web failed (exit status 1)
			4s: web begins
			4s: web failed (damped: 3 changes within 10s, until steady for 3s; the last result: exit status 0)
			5s: web begins
			6s: web begins
			7s: web begins
			7s: web ok (exit status 0), since 3s
			8s: web begins`,
		},
		{
			"a query without a result keeps what was found before",
			func() func(context.Context) outcome {
				n := 0
				return func(context.Context) outcome {
					if n++; n == 1 || n == 3 {
						return outcome{blind: true, keep: true, cause: "no result"}
					}
					return outcome{ok: n < 4, cause: "a result"}
				}
			}, func(c *failover.CheckConfig) { c.Fall = 1 }, 3 * second, `
			0s: web begins
			0s: web unknown (no result)
			1s: web begins
			1.5s: web begins
			2s: web begins
			2s: web failed (a result)
			3s: web begins`,
		},
	} {
		// It makes no difference in whose goroutine a probe runs.
		for name, make := range map[string]func(prober) quick{
			c.name:                          nil,
			c.name + ", by the sweep":       func(p prober) quick { return instant(p) },
			c.name + ", begun by the sweep": func(p prober) quick { return detour{instant(p)} },
		} {
			if strings.HasPrefix(name, "what does not answer") && strings.HasSuffix(name, ", by the sweep") {
				continue // which it may not do
			}
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newStage(t)
					s.quick = make
					s.scripts["web"] = c.probe()
					cfg := webCheck()
					if c.change != nil {
						c.change(&cfg)
					}
					s.m.Configure(checks(cfg))
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
}

// anew returns what makes an instantly for each run of a test.
func anew(results string) func() func(context.Context) outcome {
	return func() func(context.Context) outcome { return instantly(results) }
}

// slowing returns a probe with these round trips, one per run, and then the last one. It takes no time to say so.
func slowing(rtts ...time.Duration) func(context.Context) outcome {
	return func(context.Context) outcome {
		o := outcome{ok: true, rtt: rtts[0], cause: "replies"}
		if len(rtts) > 1 {
			rtts = rtts[1:]
		}
		return o
	}
}

// A check that is deaf to the end of its context is a failed check, there is no second one beside it, and it is not heard of
// again before it lets go.
func TestHungHealthCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		release := make(chan struct{})
		n := 0
		s.scripts["web"] = func(context.Context) outcome {
			if n++; n == 2 {
				<-release
			}
			return outcome{ok: true, cause: "connected"}
		}
		s.m.Configure(checks(webCheck()))
		s.start()
		s.pass(6 * second)
		s.expect(`0s: web begins
			0s: web ok (connected)
			1s: web begins
			3s: web failed (timed out after 1s, 3 in a row), since 2s`)
		close(release)
		s.pass(7 * second)
		s.expect(`6.001s: web begins
			6.001s: web is killed
			6.501s: web begins
			6.501s: web ok (connected, 2 in a row), since 500ms`)
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
}

// A failure that comes in long after its timeout is this process's fault.
func TestLateFailureIsNobodysFault(t *testing.T) {
	s := newStage(t)
	h := newHealthCheck(&s.m.settings, s.m.box, webCheck())
	h.p = webCheck()
	h.rounds.begun, h.rounds.due = time.Now(), bell{time.NewTimer(time.Hour)}
	for _, c := range []struct {
		late time.Duration
		want result
	}{{stall, bad}, {stall + 1, blind}} {
		h.verdict = verdict{rise: 1, fall: 1}
		h.rounds.late = c.late
		h.count(outcome{cause: "timed out"})
		if h.verdict.is != c.want {
			t.Errorf("%v late: %v, want %v", c.late, h.verdict.is, c.want)
		}
	}
}

// A reload by difference: what looks at the same thing keeps its verdict, what looks at another one begins anew.
func TestReconfigureHealthChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.scripts["web"], s.scripts["web2"] = instantly("+--"), instantly("-")
		cfg := webCheck()
		s.m.Configure(checks(cfg))
		s.start()
		s.pass(1200 * time.Millisecond)
		s.expect(`0s: web begins
			0s: web ok (exit status 0)
			1s: web begins`)
		cfg.Fall = 2
		s.m.Configure(checks(cfg))
		s.m.Configure(checks(cfg))
		s.pass(1600 * time.Millisecond)
		s.expect(`1.5s: web begins
			1.5s: web failed (exit status 1, 2 in a row), since 500ms`)
		cfg.Probe.Target = "web2"
		s.m.Configure(checks(cfg))
		s.pass(1700 * time.Millisecond)
		s.expect(`1.601s: web2 begins
			1.601s: web failed (exit status 1)`)
		s.m.Configure(nil)
		s.pass(9 * second)
		s.expect("")
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
}

// What a check warns of is told once, whatever the verdict, and so is its end; one that fails keeps its warning.
func TestWarningOfHealthCheck(t *testing.T) {
	s := newStage(t)
	h := newHealthCheck(&s.m.settings, s.m.box, webCheck())
	h.p = webCheck()
	h.rounds.begun, h.rounds.due = time.Now(), bell{time.NewTimer(time.Hour)}
	for i, o := range []struct {
		outcome
		warning string
		news    bool
	}{
		{outcome{ok: true, cause: "a"}, "", true},
		{outcome{ok: true, cause: "a", warning: "w"}, "w", true},
		{outcome{ok: true, cause: "a", warning: "w"}, "w", false},
		{outcome{cause: "b"}, "w", false},
		{outcome{cause: "b"}, "w", false},
		{outcome{cause: "b"}, "w", true},
		{outcome{cause: "b", warning: "x"}, "x", true},
		{outcome{ok: true, cause: "a"}, "", true},
	} {
		h.count(o.outcome)
		r, news := s.m.box.next()
		if news != o.news || news && r.Warning != o.warning {
			t.Errorf("result %d: news %v with warning %q, want %v with %q", i, news, r.Warning, o.news, o.warning)
		}
	}
}

// What is measured can be seen between the reports.
func TestDescribe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		n := 0
		s.scripts["web"] = func(context.Context) outcome {
			n++
			return outcome{ok: n != 2, rtt: time.Duration(n%2) * time.Duration(n) * time.Millisecond, cause: "x"}
		}
		s.m.Configure(checks(webCheck()))
		s.start()
		s.pass(1600 * time.Millisecond)
		list := []failover.CheckStatus{{Name: "web"}, {Name: "nobody"}}
		s.m.Describe(list)
		want := failover.CheckStatus{Name: "web", Probes: 3, RTTMS: 2, LastRTTMS: 3, LossPercent: 100.0 / 3}
		if list[0] != want || list[1] != (failover.CheckStatus{Name: "nobody"}) {
			t.Errorf("%+v, want %+v", list, want)
		}
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
}
