package status

import (
	"bytes"
	"strings"
	"testing"
)

// A speaker's process of another version than the agent's is shown: an upgrade leaves it as it is.
func TestTableSpeakerVersion(t *testing.T) {
	const words = "its process is of version 0.0.9"
	for version, want := range map[string]bool{"": false, "0.1.0": false, "0.0.9": true} {
		s := sample()
		s.Speakers[0].Version = version
		var out bytes.Buffer
		if err := Table(&out, s, TableOptions{}); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(out.String(), words); got != want {
			t.Errorf("version %q: shown %v\n%s", version, got, out.String())
		}
	}
}
