package regiontest

import (
	"os"
	"path/filepath"
	"testing"

	"failoverd/vrrp"
)

func instant[T ~int64](d T) vrrp.Instant { return vrrp.Instant(d) }

// TestCorpus plays the courses that have broken a rule once, or that a model of this kind should always play.
func TestCorpus(t *testing.T) {
	files, err := filepath.Glob("testdata/*.course")
	if err != nil || len(files) == 0 {
		t.Fatalf("no courses: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c, err := ParseCourse(string(text))
			if err != nil {
				t.Fatal(err)
			}
			if err := Play(c, Faithful, nil).Err(c, Faithful); err != nil {
				t.Error(err)
			}
		})
	}
}
