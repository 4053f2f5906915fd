package failovertest

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// PlayScript plays the courses in a text, and returns the text with what became of them. As in Script, lines that begin
// with # are comments, those with > commands, and every other line that is not empty is written anew. The commands:
//
//	course SEED                                     begin a course; lines with | that follow are what the hosts have in
//	                                                common (see Profile.lines)
//	at D KIND HOST|active [for D] [variant N]       a fault (see kinds)
//	play [MUTATION]                                 what becomes of the course, with a rule broken on purpose or without
//
// The answer to play is "breaks RULE" or "breaks nothing". The trace, if there is one, is that of Play.
func PlayScript(text string, trace io.Writer) (string, error) {
	var out strings.Builder
	_, err := runCourses(text, &out, trace)
	return out.String(), err
}

// readCourse reads what Course.String has written.
func readCourse(text string) (Course, error) {
	c, err := runCourses(text, io.Discard, nil)
	if err == nil && c == nil {
		err = errors.New("want a course")
	}
	if err == nil {
		err = c.check()
	}
	if err != nil {
		return Course{}, err
	}
	return *c, nil
}

func runCourses(text string, out, trace io.Writer) (c *Course, _ error) {
	for i, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		if line != "" && !strings.Contains("#|>", line[:1]) {
			continue
		}
		fmt.Fprintln(out, line)
		p := &configParser{}
		var err error
		switch {
		case strings.HasPrefix(line, "|") && c == nil:
			err = errors.New("want a course before")
		case strings.HasPrefix(line, "|"):
			p.setting(&c.Profile, line[1:])
		case strings.HasPrefix(line, ">"):
			c, err = courseCommand(p, c, strings.Fields(line[1:]), out, trace)
		}
		if err = errors.Join(err, first(p.errors)); err != nil {
			return nil, fmt.Errorf("line %d: %s: %w", i+1, line, err)
		}
	}
	return c, nil
}

func courseCommand(p *configParser, c *Course, w words, out, trace io.Writer) (*Course, error) {
	switch verb := w.next(); {
	case verb == "course":
		c = &Course{Seed: uint64(p.number(&w)), Profile: Profile{owner: -1, preempt: true}}
	case c == nil:
		return nil, errors.New("want a course before")
	case verb == "at":
		c.Faults = append(c.Faults, p.fault(&w))
	case verb == "play":
		m, err := mutationOf(strings.Join(w, " "))
		if err = errors.Join(err, c.check()); err != nil {
			return nil, err
		}
		fmt.Fprintf(out, "    breaks %s\n", ruleOf(Outcome(*c, m, trace)))
		return c, nil
	default:
		return nil, fmt.Errorf("unknown command %q", verb)
	}
	if len(p.errors) == 0 && len(w) > 0 {
		p.wrong("unexpected %q", w[0])
	}
	return c, nil
}

func mutationOf(words string) (Mutation, error) {
	if words == "" {
		return Faithful, nil
	}
	for m, name := range mutationNames {
		if name == words {
			return Mutation(m), nil
		}
	}
	return 0, fmt.Errorf("unknown mutation %q", words)
}

// Outcome plays a course and returns the first line of what is wrong; "nothing": all is well.
func Outcome(c Course, m Mutation, trace io.Writer) string {
	broken, _, _ := strings.Cut(play(c, m, trace).w.checker.broken, "\n")
	if broken == "" {
		return "nothing"
	}
	return broken
}
