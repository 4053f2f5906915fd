package record_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"failoverd/failover/record"
)

// FuzzReader feeds lines with right checksums and any content, behind a first line that is right or is fuzzed, too: a
// recording that somebody has made up ends in an error at worst.
func FuzzReader(f *testing.F) {
	for _, name := range []string{"takeover.txt", "vmac.txt", "objects.txt", "drain.txt"} {
		for i, l := range bytes.Split(bytes.TrimSuffix(recorded(f, name), []byte("\n")), []byte("\n")) {
			if i < 40 {
				f.Add(l[9:], false)
			}
		}
	}
	first := bytes.SplitAfter(recorded(f, "takeover.txt"), []byte("\n"))[0]
	f.Add([]byte(`{"failoverd_recording":1,"config":{"Routers":[{}]}}`), true)
	f.Add([]byte(`{"failoverd_recording":1,"config":null,"secrets":["YQ=="]}`), true)
	f.Add([]byte(`{"at":-9223372036854775808,"ops":[{"after":9223372036854775807,"call":"expire"},{"wall":1,"call":"inherit","with":{"Heirs":[{}]}}]}`), false)
	f.Add([]byte(`{"at":9,"ops":[{"call":"recall","with":{"Origins":[{"Speaker":"EDGE","Prefix":"198.51.100.0/24","Validity":3,"Until":9223372036854775807},{}]}}]}`), false)
	f.Fuzz(func(t *testing.T, text []byte, begin bool) {
		if bytes.ContainsRune(text, '\n') || !json.Valid(text) {
			return
		}
		whole := record.Frame(nil, text)
		if !begin {
			whole = append(bytes.Clone(first), whole...)
		}
		p, err := replay(t, whole, nil)
		if err == nil && p.Reader.Config == nil {
			t.Error("no configuration, and no error")
		}
		_, _ = replay(t, text, nil) // without a checksum it is no recording, whatever it is
	})
}
