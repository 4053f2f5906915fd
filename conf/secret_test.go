package conf_test

import (
	"io/fs"
	"strings"
	"testing"

	"failoverd/conf"
)

// modeMap is a Source that knows who may read its files.
type modeMap struct {
	conf.FileMap
	modes map[string]fs.FileMode
}

func (m modeMap) Mode(name string) (fs.FileMode, bool) {
	mode, ok := m.modes[name]
	return mode, ok
}

// TestKeyFiles: what a file with a key may hold, and who may read it.
func TestKeyFiles(t *testing.T) {
	const ascii = "0123456789abcdef0123456789abcdef"
	for _, tt := range []struct {
		name    string
		content string
		mode    fs.FileMode
		want    string // the key that the canonical text has
		diags   string
	}{
		{"text", ascii + "\n", 0o600, "key hex:3031323334353637383961626364656630313233343536373839616263646566", ""},
		{"text from Windows", ascii + "\r\n", 0o400, "key hex:3031323334353637383961626364656630313233343536373839616263646566", ""},
		{"hexadecimal", "hex:" + strings.Repeat("AB", 64), 0o600, "key hex:" + strings.Repeat("ab", 64), ""},
		{"too short", ascii[1:], 0o600, "", "1:37: error: key_file /k: a key of 31 octets is too short, it could be guessed (want 32 to 64)"},
		{"too long", ascii + ascii + "x", 0o600, "", "1:37: error: key_file /k: a key of 65 octets is too long (want 32 to 64)"},
		{"short in hexadecimal", "hex:" + ascii, 0o600, "", "1:37: error: key_file /k: a key of 16 octets is too short, it could be guessed (want 32 to 64)"},
		{"no hexadecimal", "hex:" + strings.Repeat("xy", 32), 0o600, "", "1:37: error: key_file /k: hex: wants an even number of hexadecimal digits and nothing else"},
		{"two lines", ascii + "\n" + ascii, 0o600, "", "1:37: error: key_file /k: want one line with the key"},
		{"empty", "\n", 0o600, "", "1:37: error: key_file /k: a key of 0 octets is too short, it could be guessed (want 32 to 64)"},
		{"readable by the group", ascii, 0o640, "key hex:", "1:37: warning: key_file: others than its owner can read or change /k (mode 0640); whoever has the key can speak for this node; chmod 600 helps"},
		{"readable by everybody", ascii, 0o604, "key hex:", "1:37: warning: key_file: others than its owner can read or change /k (mode 0604); whoever has the key can speak for this node; chmod 600 helps"},
		{"executable by others tells nothing", ascii, 0o711, "key hex:", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src := modeMap{conf.FileMap{
				"/c": "witness_server { listen :: key_file /k }\n", "/k": tt.content,
			}, map[string]fs.FileMode{"/k": tt.mode, "/c": 0o644}}
			cfg, diags := conf.Parse("/c", src, conf.Env{}, conf.Options{})
			if got := strings.TrimSuffix(strings.ReplaceAll(lines(diags), "/c:", ""), "\n"); got != tt.diags {
				t.Errorf("says\n%s\nwant\n%s", got, tt.diags)
			}
			if (cfg == nil) != (tt.want == "") || cfg != nil && !strings.Contains(conf.Format(cfg), tt.want) {
				t.Errorf("configuration %v, want %q", cfg, tt.want)
			}
		})
	}
}

// TestKeysAreNeverQuoted: no message shows a key.
func TestKeysAreNeverQuoted(t *testing.T) {
	const secret = "abcdefghij"
	for _, text := range []string{
		"witness_server { listen :: key " + secret + " }", "witness_server { listen :: key hex:" + secret + " }",
		"witness_server { listen :: key_file /k }", "witness_server { listen :: key file:/k }",
	} {
		_, diags := conf.Parse("/c", conf.FileMap{"/c": text, "/k": secret}, conf.Env{}, conf.Options{})
		if !conf.HasErrors(diags) || strings.Contains(lines(diags), secret) {
			t.Errorf("%s: %s", text, lines(diags))
		}
	}
}

// TestHashHasTheKeys: another key is another configuration.
func TestHashHasTheKeys(t *testing.T) {
	hash := func(key string) string {
		cfg, diags := conf.Parse("/c", conf.FileMap{"/c": "witness_server { listen :: key_file /k }", "/k": key}, conf.Env{}, conf.Options{})
		if cfg == nil {
			t.Fatal(lines(diags))
		}
		return cfg.Hash
	}
	if hash(strings.Repeat("a", 32)) == hash(strings.Repeat("b", 32)) {
		t.Error("another key has the same hash")
	}
}
