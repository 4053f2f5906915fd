package lab_test

import (
	"bytes"
	"io/fs"
	"strings"
	"testing"

	"failoverd/conf"
	"failoverd/integration/lab"
)

func TestDemoConfigurationIsGood(t *testing.T) {
	for scenario, want := range map[string]int{"": 3, "local": 3, "guarded": 4} {
		t.Run("scenario "+scenario, func(t *testing.T) { demoConfigurationIsGood(t, scenario, want) })
	}
}

func demoConfigurationIsGood(t *testing.T, scenario string, want int) {
	var out bytes.Buffer
	if code := lab.Demo(t.Context(), lab.DemoOptions{ShowConfig: true, Scenario: scenario, Out: &out}); code != 0 {
		t.Fatalf("exit status %d", code)
	}
	files := strings.Split(out.String(), "# ")
	n := 0
	for _, f := range files {
		name, text, ok := strings.Cut(f, "\n")
		if !ok || !strings.Contains(name, ".conf") {
			continue
		}
		n++
		cfg, said := conf.Parse(name, oneFile(text), conf.Env{HostName: "demo"}, conf.Options{})
		if cfg == nil || len(said) != 0 {
			t.Errorf("%s: %v", name, said)
		}
	}
	if n != want {
		t.Errorf("%d configuration files, want %d, in\n%s", n, want, out.String())
	}
}

// oneFile is a configuration without includes.
type oneFile string

func (f oneFile) Read(string) ([]byte, error)   { return []byte(f), nil }
func (f oneFile) Glob(string) ([]string, error) { return nil, fs.ErrNotExist }
