package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestReadmeExamples: every configuration in README.md is one that check accepts without a word.
func TestReadmeExamples(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	must(t, err)
	n := 0
	for _, example := range codeBlocks(string(text)) {
		if !strings.Contains(example, "vrrp_instance") {
			continue
		}
		n++
		file := filepath.Join(t.TempDir(), "failoverd.conf")
		must(t, os.WriteFile(file, []byte(example), 0o600))
		if out, err := exec.Command(binary, "check", "--strict", "-f", file).CombinedOutput(); err != nil {
			t.Errorf("example %d: %v: %s\n%s", n, err, out, example)
		}
	}
	if n < 3 {
		t.Errorf("%d examples found, want at least 3", n)
	}
}

// codeBlocks returns the code blocks of a text that name no language.
func codeBlocks(text string) (blocks []string) {
	var block []string
	inside, plain := false, false
	for line := range strings.Lines(text) {
		switch mark := strings.TrimRight(line, "\n"); {
		case !inside && strings.HasPrefix(mark, "```"):
			inside, plain, block = true, mark == "```", nil
		case inside && mark == "```":
			if inside = false; plain {
				blocks = append(blocks, strings.Join(block, ""))
			}
		case inside:
			block = append(block, line)
		}
	}
	return blocks
}
