package conf_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"failoverd/conf"
)

const (
	textKey = "a-key-of-thirty-two-octets-12345"
	hexKey  = "612d6b65792d6f662d7468697274792d74776f2d6f63746574732d3132333435"
)

// unsigned is how the warning about unicast without auth_hmac ends.
const unsigned = "without auth_hmac: a forged packet can take the role, or end it"

// besidesUnsigned leaves that warning out, which so many texts of tests would get; TestUnicastWithoutHMAC is about it. So it
// does with that of a word that replaces one of the text around it, which TestTwice is about.
func besidesUnsigned(list []conf.Diagnostic) []conf.Diagnostic {
	return slices.DeleteFunc(list, func(d conf.Diagnostic) bool {
		return strings.HasSuffix(d.Message, unsigned) || strings.Contains(d.Message, " replaces the one at ")
	})
}

func TestHMACKeywords(t *testing.T) {
	block := func(key, more string) string {
		return "auth_hmac { | key 1 hex:" + key + " | active_key 1 | " + more
	}
	plain := block(hexKey, "anti_replay time | time_window 5 | mode enforce")
	checkRows(t, inInstance, []row{
		{"auth_hmac { key 1 " + textKey + " }", plain, ""},
		{"auth_hmac { key 1 hex:" + strings.ToUpper(hexKey) + " active_key 1 }", plain, ""},
		{`auth_hmac { key 1 "a key with blanks, in double quotes" }`, block(fmt.Sprintf("%x", "a key with blanks, in double quotes"), "anti_replay time | time_window 5 | mode enforce"), ""},
		{"auth_hmac {\n key 1 " + textKey + "\n mode permissive\n anti_replay monotonic\n}", block(hexKey, "anti_replay monotonic | mode permissive"), ""},
		{"auth_hmac { key 1 " + textKey + " mode receive-only time_window 2.5 }", block(hexKey, "anti_replay time | time_window 2.5 | mode receive-only"), ""},
		{"advert_int 3\n auth_hmac { key 1 " + textKey + " }", "advert_int 3 | " + block(hexKey, "anti_replay time | time_window 9 | mode enforce"), ""},
		{"advert_int 255\n auth_hmac { key 1 " + textKey + " }", "advert_int 255 | " + block(hexKey, "anti_replay time | time_window 300 | mode enforce"), ""},
		{
			"auth_hmac { key 1 " + textKey + " key 255 hex:" + hexKey + "00 active_key 255 }",
			"auth_hmac { | key 1 hex:" + hexKey + " | key 255 hex:" + hexKey + "00 | active_key 255 | anti_replay time | time_window 5 | mode enforce", "",
		},

		{"auth_hmac { }", "", `7:3: error: auth_hmac without a key (want key ID VALUE, with 32 to 64 octets)`},
		{"auth_hmac", "", `7:3: error: auth_hmac: its block { ... } is missing`},
		{"auth_hmac { key 1 short }", "", `7:21: error: auth_hmac key 1: a key of 5 octets is too short, it could be guessed (want 32 to 64)`},
		{"auth_hmac { key 1 " + textKey + textKey + "x }", "", `7:21: error: auth_hmac key 1: a key of 65 octets is too long (want 32 to 64)`},
		{"auth_hmac { key 1 hex:00zz }", "", `7:21: error: auth_hmac key 1: hex: wants an even number of hexadecimal digits and nothing else`},
		{"auth_hmac { key 1 hex:000 }", "", `7:21: error: auth_hmac key 1: hex: wants an even number of hexadecimal digits and nothing else`},
		{"auth_hmac { key 1 hex:" + hexKey[2:] + " }", "", `7:21: error: auth_hmac key 1: a key of 31 octets is too short, it could be guessed (want 32 to 64)`},
		{"auth_hmac { key 1 }", "", `7:15: error: key: its value is missing (want a key: hex:DIGITS, file:PATH or text)`},
		{"auth_hmac { key 0 " + textKey + " }", "", `7:19: error: key 0: out of range (want 1 to 255)`},
		{"auth_hmac { key 1 " + textKey + " secret words }", "", `7:54: error: key 1: more words than a key; one with blanks stands in double quotes`},
		{"auth_hmac { key 1 file: }", "", `7:21: error: auth_hmac key 1: open .: no such file`},
		{"auth_hmac { key 1 file:none }", "", `7:21: error: auth_hmac key 1: open none: no such file`},
		{"auth_hmac { key 1 file:secret }", "", `7:21: error: auth_hmac key 1 secret: a key of 6 octets is too short, it could be guessed (want 32 to 64)`},
		{"auth_hmac { key 1 file:lines }", "", `7:21: error: auth_hmac key 1 lines: want one line with the key`},
		{"auth_hmac { key 1 file:empty }", "", `7:21: error: auth_hmac key 1 empty: a key of 0 octets is too short, it could be guessed (want 32 to 64)`},
		{"auth_hmac { key 1 " + textKey + " key 1 " + textKey + " }", "", `7:58: error: key 1 is there twice, first at 7:19`},
		{"auth_hmac { key 1 " + textKey + " key 2 " + textKey + " }", "", `7:3: error: auth_hmac has several keys: active_key ID must say which one signs`},
		{"auth_hmac { key 1 " + textKey + " active_key 2 }", "", `7:65: error: active_key 2: there is no key of that ID`},
		{"auth_hmac { key 1 " + textKey + " anti_replay never }", "", `7:66: error: anti_replay "never": want time or monotonic`},
		{"auth_hmac { key 1 " + textKey + " mode enforced }", "", `7:59: error: mode "enforced": want enforce or permissive or receive-only (did you mean "enforce"?)`},
		{"auth_hmac { key 1 " + textKey + " time_window 301 }", "", `7:66: error: time_window 301: out of range (want 1 to 300 seconds)`},
		{"auth_hmac { key 1 " + textKey + " }\n auth_hmac { key 1 " + textKey + " }", "", `8:2: error: auth_hmac is there twice, first at 7:3`},
		{"authentication { auth_type PASS auth_pass x }\n auth_hmac { key 1 " + textKey + " }", "", `7:3: error: authentication and auth_hmac exclude each other; remove authentication, which protects nothing`},
		{"auth_hmac { kee 1 " + textKey + " }", "", "7:3: error: auth_hmac without a key (want key ID VALUE, with 32 to 64 octets)\n" + `7:15: error: unknown keyword "kee" in auth_hmac (did you mean "key"?)`},
		{"auth_hmac { key 1 " + textKey + " anti_replay monotonic time_window 7 }", block(hexKey, "anti_replay monotonic | mode enforce"), `7:88: warning: time_window has no effect with anti_replay monotonic, which does not look at the clock`},
	})
}

// A signed advertisement has room for less.
func TestHMACLeavesRoomForFewerIPv6Addresses(t *testing.T) {
	var b strings.Builder
	for i := range 89 {
		fmt.Fprintf(&b, "2001:db8::%x/64\n", i+1)
	}
	text := minimal("A", 1, "virtual_ipaddress {\nfe80::1/64\n"+b.String()+"}\n%")
	if format, diags := parse(t, strings.Replace(text, "%", "", 1), conf.Options{}); format == "" {
		t.Error(diags)
	}
	_, diags := parse(t, strings.Replace(text, "%", "auth_hmac { key 1 "+textKey+" }", 1), conf.Options{})
	if !strings.Contains(diags, "no more than 89 IPv6 addresses") {
		t.Error(diags)
	}
}

// A key may stand in a file of its own, whose content is part of what the configuration is.
func TestHMACKeyFiles(t *testing.T) {
	files := conf.FileMap{
		"dir/main.conf": minimal("A", 1, "virtual_ipaddress { 10.0.0.1 }\nauth_hmac { key 1 file:key key 2 file:/etc/hex active_key 1 }"),
		"dir/key":       textKey + "\n", "/etc/hex": "hex:" + hexKey + "\r\n",
	}
	before, diags := conf.Parse("dir/main.conf", files, conf.Env{}, conf.Options{})
	if before == nil || len(diags) > 0 {
		t.Fatal(lines(diags))
	}
	for _, k := range before.Routers[0].VRRP.HMAC.Keys {
		if string([]byte(k.Secret)) != textKey {
			t.Errorf("key %d has %d octets", k.ID, len(k.Secret))
		}
	}
	files["dir/key"] = textKey + "6"
	if after, _ := conf.Parse("dir/main.conf", files, conf.Env{}, conf.Options{}); after.Hash == before.Hash {
		t.Error("another key, and the same hash")
	}
}

// Each instance that sends by unicast unsigned is warned about once, which does not keep it from running.
func TestUnicastWithoutHMAC(t *testing.T) {
	const vip = "virtual_ipaddress { 10.0.0.1/24 }\n"
	for _, tt := range []struct{ body, want string }{
		{"unicast_src_ip 192.0.2.1\nunicast_peer { 192.0.2.2 192.0.2.3 }\n", "unicast_peer"},
		{"watcher_peer { 192.0.2.2 192.0.2.3 }\n", "watcher_peer"},
		{"", ""},
		{"unicast_peer { 192.0.2.2 }\nauth_hmac { key 1 " + textKey + " }\n", ""},
		{"watcher_peer { 192.0.2.2 }\nauth_hmac { key 1 " + textKey + " mode permissive }\n", ""},
	} {
		cfg, diags := conf.Parse("main.conf", conf.FileMap{"main.conf": minimal("A", 1, vip+tt.body)}, conf.Env{}, conf.Options{})
		want := ""
		if tt.want != "" {
			want = tt.want + " " + unsigned
		}
		got := ""
		for _, d := range diags {
			got += d.Message
		}
		if cfg == nil || got != want {
			t.Errorf("%q: says %q, want %q", tt.body, got, want)
		}
	}
}

// What is said of a key never repeats it, whatever is wrong.
func TestDiagnosticsKeepKeys(t *testing.T) {
	const secret = "tell-nobody-about-this-key-0123456789"
	for _, body := range []string{
		"key 1 " + secret + " active_key 3", "key 1 " + secret + " more", "key x " + secret, "key 1 '" + secret + "'", "key 1 hex:" + secret,
		"key 1 " + secret + secret, "key 1 " + secret + " key 1 " + secret, "key 300 " + secret,
	} {
		_, diags := conf.Parse("main.conf", conf.FileMap{"main.conf": minimal("A", 1, "virtual_ipaddress { 10.0.0.1 }\nauth_hmac {\n"+body+"\n}")}, conf.Env{}, conf.Options{})
		if !conf.HasErrors(diags) || strings.Contains(lines(diags), "nobody") {
			t.Errorf("%s:\n%s", body, lines(diags))
		}
	}
}
