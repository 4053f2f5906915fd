package daemon

import (
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// Whoever may read the file of a key can sign with it.
func TestLoadWarnsAboutExposedKeys(t *testing.T) {
	const key = "a-key-that-nobody-else-may-read-0123"
	for _, tt := range []struct {
		conf, key fs.FileMode
		block     string
		want      string // the file that is named; empty: none
	}{
		{0o644, 0o600, "key 1 file:key", ""},
		{0o644, 0o640, "key 1 file:key", "key (mode 0640)"},
		{0o644, 0o604, "key 1 file:key", "key (mode 0604)"},
		{0o600, 0o600, "key 1 " + key, ""},
		{0o644, 0o600, "key 1 " + key, "f.conf (mode 0644)"},
	} {
		dir := t.TempDir()
		text := strings.Replace(loadConf, "virtual_router_id", "auth_hmac { "+tt.block+" }\n    virtual_router_id", 1)
		file := write(t, filepath.Join(dir, "f.conf"), text, tt.conf)
		write(t, filepath.Join(dir, "key"), key+"\n", tt.key)
		cfg, diagnostics, err := Load(LoadOptions{File: file, Strict: true})
		if err != nil || cfg == nil || cfg.Routers[0].VRRP.HMAC == nil {
			t.Fatalf("%v, %v", diagnostics, err)
		}
		said := ""
		for _, d := range diagnostics {
			said += d.Message
		}
		if (said == "") != (tt.want == "") || !strings.Contains(said, tt.want) || strings.Contains(said, key) {
			t.Errorf("%s, mode %o: says %q", tt.block, tt.key, said)
		}
	}
}
