package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReadmeExamples: every configuration in README.md is one that check accepts without a word.
func TestReadmeExamples(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	must(t, err)
	n := 0
	for _, m := range regexp.MustCompile("(?s)\n```\n(.*?)\n```\n").FindAllSubmatch(text, -1) {
		if !strings.Contains(string(m[1]), "vrrp_instance") {
			continue
		}
		n++
		file := filepath.Join(t.TempDir(), "failoverd.conf")
		must(t, os.WriteFile(file, append(m[1], '\n'), 0o600))
		if out, err := exec.Command(binary, "check", "--strict", "-f", file).CombinedOutput(); err != nil {
			t.Errorf("example %d: %v: %s\n%s", n, err, out, m[1])
		}
	}
	if n < 3 {
		t.Errorf("%d examples found, want at least 3", n)
	}
}
