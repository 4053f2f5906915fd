package failovertest

import (
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	updateFlag = flag.Bool("update", false, "write what becomes of the courses in testdata into their files")
	courseFlag = flag.String("course", "", "play the courses of this file only, with a trace")
)

// TestCourses plays the courses that have broken a rule once, or that a rule broken on purpose is noticed by.
func TestCourses(t *testing.T) {
	if *courseFlag != "" {
		playFile(t, *courseFlag, true)
		return
	}
	files, err := filepath.Glob("testdata/*.course")
	if err != nil || len(files) == 0 {
		t.Fatalf("no courses: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			playFile(t, file, false)
		})
	}
}

// TestTextOfACourse: what is printed is what was drawn.
func TestTextOfACourse(t *testing.T) {
	for seed := uint64(1); seed <= 500; seed++ {
		text := Draw(seed).String()
		c, err := readCourse(text)
		if err != nil {
			t.Fatalf("seed %d: %v in\n%s", seed, err, text)
		}
		if diff := cmp.Diff(Draw(seed), c, cmp.AllowUnexported(Profile{})); diff != "" {
			t.Fatalf("seed %d (-drawn +read):\n%s", seed, diff)
		}
	}
}

// TestShrink: the course in which a rule broken on purpose is noticed first is made small, and its text breaks the same rule.
func TestShrink(t *testing.T) {
	for m, most := range map[Mutation]int{LostRemoval: 1, EternalLease: 2, ForgetfulReload: 2, HastyStop: 1} {
		t.Run(m.String(), func(t *testing.T) {
			t.Parallel()
			c := long(t, m)
			rule := ruleOf(Outcome(c, m, nil))
			small := Shrink(c, m)
			text := small.String() + "> play " + m.String() + "\n"
			played, err := PlayScript(text, nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d faults, and then:\n%s", len(c.Faults), played)
			if played != text+"    breaks "+rule+"\n" || len(small.Faults) > most {
				t.Errorf("want %d faults at most and rule %s", most, rule)
			}
			if got := Outcome(small, Faithful, nil); got != "nothing" {
				t.Errorf("it is not the mutation: %s", got)
			}
		})
	}
}

// long returns the first course of five faults or more that notices a mutation.
func long(t *testing.T, m Mutation) Course {
	for seed := uint64(1); seed < 1000; seed++ {
		if c := Draw(seed); len(c.Faults) >= 5 && ruleOf(Outcome(c, m, nil)) != "nothing" {
			return c
		}
	}
	t.Fatal("nobody notices")
	return Course{}
}

// FuzzPlayScript: whatever a text says, it is played or refused.
func FuzzPlayScript(f *testing.F) {
	for seed := uint64(1); seed <= 5; seed++ {
		f.Add(Draw(seed).String())
	}
	f.Add("> course x\n| priorities\n> at 1s dance a")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := readCourse(text)
		if err != nil {
			return
		}
		again, err := readCourse(c.String())
		if diff := cmp.Diff(c, again, cmp.AllowUnexported(Profile{})); err != nil || diff != "" {
			t.Errorf("error %v (-first +second):\n%s", err, diff)
		}
	})
}

// TestCourseErrors: a course that is wrong says where.
func TestCourseErrors(t *testing.T) {
	const start = "> course 1\n| priorities 100 200\n| interval 1s\n| lease 3s\n"
	for _, tt := range []struct{ script, want string }{
		{"> play", "line 1: > play: want a course before"},
		{"| core", "want a course before"},
		{"> course one", `invalid syntax`},
		{start + "| second best\n> play", `second router "best"`},
		{start + "| owner c\n> play", "there is no such host"},
		{start + "| owner a\n> play", "want 255 for the owner"},
		{start + "> at 1s dance a\n> play", `unknown fault "dance"`},
		{start + "> at 1s crash everybody\n> play", `host "everybody"`},
		{start + "> at 1s crash a loudly\n> play", `unknown word "loudly"`},
		{start + "> at 2s crash a\n> at 1s crash a\n> play", "order of time"},
		{start + "> play chess", `unknown mutation "chess"`},
		{start + "> stop", `unknown command "stop"`},
		{"> course 1\n| priorities 100\n> play", "two to nine hosts"},
	} {
		if _, err := PlayScript(tt.script, nil); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("script %q: error %v, want one with %q", tt.script, err, tt.want)
		}
	}
}

func playFile(t *testing.T, file string, traced bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var trace io.Writer
	if traced {
		trace = os.Stderr
	}
	got, err := PlayScript(string(text), trace)
	switch {
	case err != nil:
		t.Fatal(err)
	case *updateFlag:
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	case got != string(text):
		t.Errorf("-want +got:\n%s", cmp.Diff(string(text), got))
	}
}
