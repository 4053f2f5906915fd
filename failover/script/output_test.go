package script_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"failoverd/failover/script"
)

func TestLines(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"none", ":", nil},
		{"without an end", "printf abc", []string{"abc"}},
		{"empty ones", "echo; echo", []string{"", ""}},
		{"with carriage returns", `printf 'a\r\nb\r\n'`, []string{"a", "b"}},
		{"longest", fmt.Sprintf("head -c %d /dev/zero | tr '\\0' x; echo; echo y", script.MaxLine), []string{strings.Repeat("x", script.MaxLine), "y"}},
		{"too long", "head -c 500000 /dev/zero | tr '\\0' x; echo; echo y", []string{strings.Repeat("x", script.MaxLine) + "...", "y"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, lines := run(t, sh(c.text), script.Exec{})
			if !r.OK() || !slices.Equal(lines, c.want) {
				t.Errorf("%v, %.60q, want %.60q", r, lines, c.want)
			}
		})
	}
}

// TestFlood writes without end what nobody can read so fast.
func TestFlood(t *testing.T) {
	r, lines := run(t, sh("i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; echo end"), script.Exec{})
	if !r.OK() {
		t.Fatal(r)
	}
	n := len(lines)
	if most := script.LineBurst + int(r.Took.Seconds()*script.LineRate) + 3; n < script.LineBurst || n > most {
		t.Errorf("%d lines, want %d to %d", n, script.LineBurst, most)
	}
	if lines[0] != "line 0" || lines[n-1] != "end" || !strings.Contains(lines[n-2], "dropped") {
		t.Errorf("first %q, last %q", lines[0], lines[n-2:])
	}
	r, lines = run(t, sh("yes"), script.Exec{Timeout: 300 * time.Millisecond, Grace: short})
	if !r.TimedOut || len(lines) > script.LineBurst+int(r.Took.Seconds()*script.LineRate)+3 {
		t.Errorf("%v, %d lines", r, len(lines))
	}
}

// TestSlowOutput has lines taken by somebody who does not come back: neither the command nor Run waits for him.
func TestSlowOutput(t *testing.T) {
	block := make(chan struct{})
	defer close(block)
	x := script.Exec{Output: func(string) { <-block }}
	begun := time.Now()
	r, err := script.Run(t.Context(), sh("seq 100000"), script.Policy{}, x)
	if err != nil || !r.OK() {
		t.Errorf("%v, %v", r, err)
	}
	if took := time.Since(begun); took > slack {
		t.Errorf("took %v", took)
	}
}

func TestNoOutput(t *testing.T) {
	r, err := script.Run(t.Context(), sh("readlink /proc/$$/fd/1 | grep -q /dev/null || exit 1; seq 100000"), script.Policy{}, script.Exec{})
	if err != nil || !r.OK() {
		t.Errorf("%v, %v", r, err)
	}
}
