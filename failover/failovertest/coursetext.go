package failovertest

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// String returns the course in the words of PlayScript, without the command "play".
func (c Course) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "> course %d\n", c.Seed)
	for _, line := range c.Profile.lines() {
		fmt.Fprintf(&b, "| %s\n", line)
	}
	for i := range c.Faults {
		fmt.Fprintf(&b, "> %s\n", &c.Faults[i])
	}
	return b.String()
}

// String returns the fault in the words of PlayScript.
func (f *Fault) String() string {
	s := fmt.Sprintf("at %v %s %s", f.At, f.Kind, f.Host)
	if f.For > 0 {
		s += fmt.Sprintf(" for %v", f.For)
	}
	if f.N > 0 {
		s += fmt.Sprintf(" variant %d", f.N)
	}
	return s
}

// fault reads what String has written, after the word "at".
func (p *configParser) fault(w *words) Fault {
	f := Fault{At: p.duration(w), Kind: w.next(), Host: w.next()}
	if _, ok := kinds[f.Kind]; !ok {
		p.wrong("unknown fault %q", f.Kind)
	}
	if f.Host != Active && (len(f.Host) != 1 || f.Host[0] < 'a' || f.Host[0] > 'z') {
		p.wrong("host %q: want a, b, c or %s", f.Host, Active)
	}
	for len(*w) > 0 {
		switch o := w.next(); o {
		case "for":
			f.For = p.duration(w)
		case "variant":
			f.N = uint64(p.number(w))
		default:
			p.wrong("unknown word %q", o)
		}
	}
	return f
}

// lines returns the profile as one setting a line. What is as in most courses is left out.
func (p *Profile) lines() (lines []string) {
	say := func(is bool, format string, args ...any) {
		if is {
			lines = append(lines, fmt.Sprintf(format, args...))
		}
	}
	say(true, "priorities %s", strings.Trim(fmt.Sprint(p.priorities), "[]"))
	say(true, "interval %v", p.interval)
	say(true, "lease %v", p.lease)
	say(p.owner >= 0, "owner %s", hostName(max(p.owner, 0)))
	say(!p.preempt, "nopreempt")
	say(p.unicast, "unicast")
	say(p.core, "core")
	say(p.preemptDelay > 0, "preempt_delay %v", p.preemptDelay)
	say(p.bgpWait > 0, "bgp_wait %v", p.bgpWait)
	say(p.startupDelay > 0, "startup_delay %v", p.startupDelay)
	say(p.pacing > 0, "pacing %v", p.pacing)
	say(p.second != "", "second %s", p.second)
	say(p.garp != "", "%s", p.garp)
	say(len(p.with) > 0, "with %s", strings.Join(p.with, " "))
	return lines
}

// seconds are what the second router may be like.
var seconds = []string{"plain", "shared address", "shared prefix", "IPv6"}

// setting reads one of lines.
func (p *configParser) setting(to *Profile, line string) {
	w := words(strings.Fields(line))
	switch word := w.next(); word {
	case "priorities":
		for to.priorities = nil; len(w) > 0; {
			to.priorities = append(to.priorities, p.number(&w))
		}
	case "owner":
		to.owner = int((w.next() + "?")[0]) - 'a'
	case "interval":
		to.interval = p.duration(&w)
	case "lease":
		to.lease = p.duration(&w)
	case "nopreempt":
		to.preempt = false
	case "unicast":
		to.unicast = true
	case "core":
		to.core = true
	case "preempt_delay":
		to.preemptDelay = p.duration(&w)
	case "bgp_wait":
		to.bgpWait = p.duration(&w)
	case "startup_delay":
		to.startupDelay = p.duration(&w)
	case "pacing":
		to.pacing = p.duration(&w)
	case "second":
		if to.second, w = strings.Join(w, " "), nil; !slices.Contains(seconds, to.second) {
			p.wrong("second router %q: want one of %q", to.second, seconds)
		}
	case "with":
		p.with(to, &w)
	case "garp":
		to.garp, w = strings.TrimSpace(line), nil
	default:
		p.wrong("unknown word %q", word)
	}
	if len(p.errors) == 0 && len(w) > 0 {
		p.wrong("unexpected %q", w[0])
	}
}

// check says what keeps a course from being played; nil: nothing.
func (c *Course) check() error {
	p := &c.Profile
	switch {
	case len(p.priorities) < 2 || len(p.priorities) > 9:
		return errors.New("priorities: want those of two to nine hosts")
	case p.owner >= len(p.priorities) || p.owner < -1:
		return errors.New("owner: there is no such host")
	case p.interval < 10*time.Millisecond || p.lease < time.Second:
		return errors.New("want an interval of 10ms at least, and a lease of 1s at least")
	case !slices.IsSortedFunc(c.Faults, func(x, y Fault) int { return int(x.At - y.At) }):
		return errors.New("want the faults in the order of time")
	}
	for i, n := range p.priorities {
		if n < 1 || n > 255 || n == 255 != (i == p.owner) {
			return errors.New("priorities: want 255 for the owner, and 1 to 254 for the others, not " + strconv.Itoa(n))
		}
	}
	return nil
}
