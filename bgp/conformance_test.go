package bgp_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestConformanceTable: what docs/conformance.md says is tested has the tests that it names, and their names have the id.
func TestConformanceTable(t *testing.T) {
	table, err := os.ReadFile(filepath.Join("docs", "conformance.md"))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err = filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range function.FindAllSubmatch(text, -1) {
			tests[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	id, name := regexp.MustCompile(`^BGP-[A-Z]+-\d\d`), regexp.MustCompile("`(Test\\w+)`")
	for line := range bytes.Lines(table) {
		cells := strings.Split(string(line), "|")
		if len(cells) < 5 || !id.MatchString(strings.TrimSpace(cells[1])) {
			continue
		}
		rows++
		what, state := strings.TrimSpace(cells[1]), strings.TrimSpace(cells[2])
		named := false
		for _, m := range name.FindAllStringSubmatch(cells[3], -1) {
			if !tests[m[1]] {
				t.Errorf("%s: there is no %s", what, m[1])
			}
			named = named || strings.Contains(m[1], strings.ReplaceAll(what, "-", "_"))
		}
		switch state {
		case "tested", "deviates":
			if !named {
				t.Errorf("%s is %s, and none of its tests has its id in the name", what, state)
			}
		case "none":
		default:
			t.Errorf("%s: state %q", what, state)
		}
	}
	if rows < 49 {
		t.Errorf("%d ids, there are 49 rows", rows)
	}
}
