package health

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"failoverd/failover"
)

// have is a process to compare with.
type have struct {
	comm string
	argv []string
}

// args returns the command as a configuration may name it.
func (h have) args() []string { return append([]string{h.comm}, h.argv[1:]...) }

func TestPattern(t *testing.T) {
	nginx := have{"nginx", []string{"/usr/sbin/nginx", "-c", "/etc/nginx.conf", "-g", "daemon off;"}}
	long := have{"a-very-long-nam", []string{"/opt/a-very-long-name-indeed"}}
	kernel := have{"kworker/0:1", nil}
	for _, c := range []struct {
		name  string
		args  []string
		match failover.ParamMatch
		full  bool
		have  have
		want  bool
	}{
		{"the kernel's name", []string{"nginx"}, failover.ParamAny, false, nginx, true},
		{"another name", []string{"apache2"}, failover.ParamAny, false, nginx, false},
		{"the beginning of a name is not enough", []string{"ngin"}, failover.ParamAny, false, nginx, false},
		{"the kernel keeps 15 octets", []string{"a-very-long-name-indeed"}, failover.ParamAny, false, long, true},
		{"so other long names match, too", []string{"a-very-long-name-too"}, failover.ParamAny, false, long, true},
		{"the full command knows better", []string{"a-very-long-name-too"}, failover.ParamAny, true, long, false},
		{"the full command", []string{"a-very-long-name-indeed"}, failover.ParamAny, true, long, true},
		{"a path is compared with the command", []string{"/usr/sbin/nginx"}, failover.ParamAny, false, nginx, true},
		{"another path", []string{"/usr/local/sbin/nginx"}, failover.ParamAny, false, nginx, false},
		{"a kernel thread has no command", []string{"kworker/0:1"}, failover.ParamAny, false, kernel, false},
		{"all arguments", nginx.args(), failover.ParamExact, false, nginx, true},
		{"one too few", nginx.args()[:4], failover.ParamExact, false, nginx, false},
		{"no arguments wanted", []string{"nginx"}, failover.ParamExact, false, nginx, false},
		{"no arguments wanted, none there", []string{"a-very-long-name-indeed"}, failover.ParamExact, false, long, true},
		{"the first arguments", []string{"nginx", "-c"}, failover.ParamInitial, false, nginx, true},
		{"other first arguments", []string{"nginx", "-g"}, failover.ParamInitial, false, nginx, false},
		{"more than there are", append(nginx.args(), "x"), failover.ParamInitial, false, nginx, false},
		{"the beginning of the last one", []string{"nginx", "-c", "/etc/"}, failover.ParamPartial, false, nginx, true},
		{"not the beginning of it", []string{"nginx", "-c", "/opt/"}, failover.ParamPartial, false, nginx, false},
		{"not of those before", []string{"nginx", "-", "/etc/"}, failover.ParamPartial, false, nginx, false},
		{"partial without arguments", []string{"nginx"}, failover.ParamPartial, false, nginx, true},
		{"partial with more than there are", append(nginx.args(), ""), failover.ParamPartial, false, nginx, false},
		{"nothing matches nothing", nil, failover.ParamAny, false, nginx, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPattern(&failover.ProcessConfig{Args: c.args, Match: c.match, FullCommand: c.full})
			if got := p.matches(c.have.comm, func() []string { return c.have.argv }); got != c.want {
				t.Errorf("%q on %q: %v", c.args, c.have, got)
			}
		})
	}
}

func TestParseStat(t *testing.T) {
	tail := " S 1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 100 200\n"
	for _, c := range []struct {
		name, line string
		want       stat
		ok         bool
	}{
		{"a process", "7 (sh)" + tail, stat{"sh", false, 4711}, true},
		{"a name with parentheses and blanks", "7 (a) Z (b)" + tail, stat{"a) Z (b", false, 4711}, true},
		{"a zombie", "7 (sh)" + " Z" + tail[2:], stat{"sh", true, 4711}, true},
		{"a dead one", "7 (sh)" + " X" + tail[2:], stat{"sh", true, 4711}, true},
		{"nothing", "", stat{}, false},
		{"cut short", "7 (sh) S 1 1", stat{}, false},
		{"parentheses the wrong way", ")(" + tail, stat{}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, ok := parseStat([]byte(c.line)); got != c.want || ok != c.ok {
				t.Errorf("got %+v %v", got, ok)
			}
		})
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("7 (sh) S 1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 100 200\n"))
	f.Add([]byte(")("))
	f.Fuzz(func(t *testing.T, b []byte) {
		if st, ok := parseStat(b); ok && !bytes.Contains(b, []byte(st.comm)) {
			t.Errorf("%q: name %q", b, st.comm)
		}
	})
}

// event builds a process event as the kernel sends it.
func event(what uint32, words ...uint32) []byte {
	e := binary.NativeEndian
	b := make([]byte, 16)
	b = e.AppendUint32(b, connectorProc)
	b = e.AppendUint32(b, connectorProc)
	b = append(b, make([]byte, 12)...)
	b = e.AppendUint32(b, what)
	b = append(b, make([]byte, 12)...)
	for _, w := range words {
		b = e.AppendUint32(b, w)
	}
	return b
}

func TestEventPID(t *testing.T) {
	foreign := event(eventExec, 7, 7)
	foreign[16] = 9
	for _, c := range []struct {
		name string
		b    []byte
		want int
	}{
		{"a child", event(eventFork, 1, 1, 7, 7), 7},
		{"a thread", event(eventFork, 7, 7, 8, 7), 0},
		{"another program", event(eventExec, 7, 7), 7},
		{"another name", event(eventComm, 7, 7, 0, 0, 0, 0), 7},
		{"the name of a thread", event(eventComm, 8, 7, 0, 0, 0, 0), 0},
		{"an end", event(eventExit, 7, 7, 0, 0), 7},
		{"the answer to the subscription", event(eventNone, 0), 0},
		{"another user", event(4, 7, 7, 0, 0), 0},
		{"not of this connector", foreign, 0},
		{"cut short", event(eventExec, 7), 0},
		{"a child cut short", event(eventFork, 1, 1), 0},
		{"nothing", nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := eventPID(c.b); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}

func FuzzEventPID(f *testing.F) {
	f.Add(event(eventFork, 1, 1, 7, 7))
	f.Add(event(eventExit, 7, 7)[:30])
	f.Fuzz(func(t *testing.T, b []byte) {
		if eventPID(b) < 0 {
			t.Errorf("%x: negative", b)
		}
	})
}

func TestQuorum(t *testing.T) {
	type step struct {
		at      time.Duration
		n       int
		ok      bool
		changed bool
		again   time.Duration // 0: never
	}
	const s = time.Second
	for _, c := range []struct {
		name  string
		c     failover.ProcessConfig
		steps []step
	}{
		{"the first number counts at once", failover.ProcessConfig{Quorum: 1, ForkDelay: s, TerminateDelay: s}, []step{{0, 1, true, true, 0}}},
		{"none at first", failover.ProcessConfig{Quorum: 1}, []step{{0, 0, false, true, 0}, {s, 1, true, true, 0}}},
		{"no quorum is one", failover.ProcessConfig{}, []step{{0, 0, false, true, 0}, {s, 1, true, true, 0}}},
		{"too few", failover.ProcessConfig{Quorum: 3}, []step{{0, 3, true, true, 0}, {s, 2, false, true, 0}, {2 * s, 1, false, false, 0}}},
		{"too many", failover.ProcessConfig{Quorum: 1, QuorumMax: 2}, []step{{0, 2, true, true, 0}, {s, 3, false, true, 0}, {2 * s, 2, true, true, 0}}},
		{"a short absence does not count", failover.ProcessConfig{Quorum: 1, TerminateDelay: 2 * s}, []step{
			{0, 1, true, true, 0}, {s, 0, true, false, 3 * s}, {2 * s, 1, true, false, 0}, {5 * s, 0, true, false, 7 * s}, {7 * s, 0, false, true, 0},
		}},
		{"a short appearance does not count", failover.ProcessConfig{Quorum: 1, ForkDelay: 2 * s}, []step{
			{0, 0, false, true, 0}, {s, 1, false, false, 3 * s}, {2 * s, 2, false, false, 3 * s}, {3 * s, 2, true, true, 0},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var q quorum
			q.adopt(&c.c)
			zero := time.Unix(1000, 0)
			for i, st := range c.steps {
				changed, at := q.update(zero.Add(st.at), st.n)
				var again time.Duration
				if !at.IsZero() {
					again = at.Sub(zero)
				}
				if changed != st.changed || q.ok != st.ok || again != st.again {
					t.Errorf("step %d: ok %v changed %v again %v, want %+v", i, q.ok, changed, again, st)
				}
			}
		})
	}
}
