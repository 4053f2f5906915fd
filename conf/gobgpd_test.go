package conf_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io/fs"
	"math/big"
	"strings"
	"testing"
	"time"

	"failoverd/bgp"
	"failoverd/conf"
)

// operated is a speaker that is an operator's gobgpd.
const operated = `bgp_speaker S {
  local_as 64512
  allow_prefix { 198.51.100.0/24 }
  backend gobgpd unix:/run/g.sock
  STATEMENT
}
vrrp_instance V { interface e0 virtual_router_id 7 virtual_ipaddress { 10.0.0.1/24 } virtual_router_id 7 }
`

// Without a neighbor gobgpd is its operator's, and what would only mean something to one of ours is refused.
func TestOperatorsGobgpd(t *testing.T) {
	for _, r := range []struct{ statement, diags string }{
		{"", "4:18: " + outlives},
		{"router_id 192.0.2.1", "4:18: " + outlives},
		{"listen_port 179", "4:18: " + outlives + "\n5:15: error: listen_port: without a neighbor here, gobgpd is its operator's, and so is where it listens"},
		{"neighbor 192.0.2.1 { remote_as 64500 }", "1:13: error: bgp_speaker S: router_id is missing\n4:18: " + outlives},
		{"backend embedded", "1:13: error: bgp_speaker S: router_id is missing\n1:13: error: bgp_speaker S has no neighbor"},
	} {
		t.Run(r.statement, func(t *testing.T) {
			files := conf.FileMap{"f": strings.Replace(operated, "STATEMENT", r.statement, 1)}
			cfg, diags := conf.Parse("f", files, conf.Env{HostName: "a"}, conf.Options{})
			got := strings.ReplaceAll(strings.TrimSpace(lines(besidesUnsigned(diags))), "f:", "")
			if got != r.diags {
				t.Errorf("says\n%s\nwant\n%s", got, r.diags)
			}
			if cfg == nil {
				return
			}
			if s := cfg.Speakers[0]; !s.OperatorOwned() || s.External.Target != "unix:/run/g.sock" || s.Check() != nil {
				t.Errorf("speaker %+v: %v", s, s.Check())
			}
			checkRoundTrip(t, cfg)
		})
	}
}

// Two speakers on one gobgpd must not undo each other's work.
func TestTwoSpeakersOnOneGobgpd(t *testing.T) {
	const text = `vrrp_instance V { interface e0 virtual_router_id 7 virtual_ipaddress { 10.0.0.1/24 } }
bgp_speaker A { local_as 64512 router_id 192.0.2.1 allow_prefix { 198.51.100.0/24 192.0.2.0/24 } backend gobgpd unix:/run/g.sock NEIGHBOR-A }
bgp_speaker B { local_as 64512 router_id 192.0.2.1 allow_prefix { PREFIX } backend gobgpd TARGET NEIGHBOR-B }
`
	const neighbor = "neighbor 203.0.113.9 { remote_as 64512 }"
	const (
		owned  = `error: backend gobgpd unix:/run/g.sock: bgp_speaker A has it already, and a gobgpd with neighbors from here has one bgp_speaker; put the neighbors and prefixes of both into one`
		shared = `error: backend gobgpd unix:/run/g.sock: bgp_speaker A is on it too, and has 192.0.2.0/24 in its allow_prefix as well: each would remove what the other one announces`
	)
	for _, r := range []struct{ prefix, target, a, b, want string }{
		{"192.0.2.0/24", "unix:/run/g.sock", "", "", shared},
		{"203.0.113.0/24 192.0.2.0/24", "unix:///run/g.sock", "", "", shared},
		{"192.0.2.0/24", "unix:/run/h.sock", "", "", ""},
		{"203.0.113.0/24", "unix:/run/g.sock", "", "", ""},
		{"192.0.2.0/25", "unix:/run/g.sock", "", "", ""}, // another route
		{"203.0.113.0/24", "unix:/run/g.sock", neighbor, "", owned},
		{"203.0.113.0/24", "unix:/run/g.sock", "", neighbor, owned},
		{"192.0.2.0/24", "unix:/run/g.sock", neighbor, neighbor, owned},
		{"192.0.2.0/24", "unix:/run/h.sock", neighbor, neighbor, ""},
	} {
		text := strings.NewReplacer("PREFIX", r.prefix, "TARGET", r.target, "NEIGHBOR-A", r.a, "NEIGHBOR-B", r.b).Replace(text)
		cfg, diags := conf.Parse("f", conf.FileMap{"f": text}, conf.Env{HostName: "a"}, conf.Options{})
		var got []string
		for _, d := range diags {
			if d.Severity == conf.Error {
				got = append(got, d.String())
			}
		}
		want := r.want
		if want != "" {
			want = fmt.Sprintf("f:3:%d: %s", strings.Index(strings.Split(text, "\n")[2], " unix:")+2, want)
		}
		if strings.Join(got, "\n") != want || (cfg == nil) != (want != "") {
			t.Errorf("%+v:\naccepted %v, says\n%s\nwant\n%s", r, cfg != nil, strings.Join(got, "\n"), want)
		}
	}
}

// keyPair returns a certificate with its key, both PEM.
func keyPair(t *testing.T) (cert, key string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Unix(1<<33, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

// exposedFiles are files that everybody may read.
type exposedFiles struct{ conf.FileMap }

func (exposedFiles) Mode(string) (fs.FileMode, bool) { return 0o644, true }

func TestGobgpdTLS(t *testing.T) {
	cert, key := keyPair(t)
	other, _ := keyPair(t)
	files := conf.FileMap{"/d/ca.pem": other, "/d/cert.pem": cert, "/d/key.pem": key, "/d/none.pem": "nothing\n"}
	for _, r := range []struct {
		block, diags string
		want         bgp.TLS
	}{
		{"", "", bgp.TLS{}},
		{"ca ca.pem\ncert /d/cert.pem\nkey key.pem\nserver_name bgp.example", "", bgp.TLS{CA: other, Certificate: cert, Key: key, ServerName: "bgp.example"}},
		{"ca base64:" + base64.StdEncoding.EncodeToString([]byte(cert)), "", bgp.TLS{CA: cert}},
		{"ca base64:-", "6:4: error: ca: base64: wants the base64 form of a PEM file", bgp.TLS{}},
		{"ca none.pem", "6:4: error: ca: no certificate in it (want a PEM file)", bgp.TLS{}},
		{"ca absent.pem", "6:4: error: ca: open /d/absent.pem: no such file", bgp.TLS{}},
		{"cert cert.pem", "6:6: error: cert: its key is missing", bgp.TLS{}},
		{"key key.pem", "6:5: error: key: its cert is missing", bgp.TLS{}},
		{"cert ca.pem\nkey key.pem", "7:5: error: cert and key do not make a pair: private key does not match public key", bgp.TLS{}},
		{"cert cert.pem\nkey none.pem", "7:5: error: cert and key do not make a pair: failed to find any PEM data in key input", bgp.TLS{}},
		{"keys 1", `6:1: error: unknown keyword "keys" in tls (did you mean "key"?)`, bgp.TLS{}},
	} {
		t.Run(r.block, func(t *testing.T) {
			text := strings.Replace(operated, "unix:/run/g.sock", "203.0.113.9:1", 1)
			files["/d/f"] = strings.Replace(text, "STATEMENT", "tls {\n"+r.block+"\n}", 1)
			cfg, diags := conf.Parse("/d/f", files, conf.Env{HostName: "a"}, conf.Options{})
			want := "4:18: " + outlives
			if r.diags != "" {
				want += "\n" + r.diags
			}
			if got := strings.ReplaceAll(strings.TrimSpace(lines(besidesUnsigned(diags))), "/d/f:", ""); got != want {
				t.Fatalf("says\n%s\nwant\n%s", got, want)
			}
			if cfg == nil {
				return
			}
			if got := *cfg.Speakers[0].External.TLS; got != r.want {
				t.Errorf("got %+v", got)
			}
			checkRoundTrip(t, cfg)
		})
	}
	_, diags := conf.Parse("/d/f", exposedFiles{conf.FileMap{
		"/d/f": strings.Replace(strings.Replace(operated, "unix:/run/g.sock", "203.0.113.9:1", 1), "STATEMENT", "tls { cert /d/cert.pem key /d/key.pem }", 1), "/d/cert.pem": cert, "/d/key.pem": key,
	}}, conf.Env{}, conf.Options{})
	if all := lines(diags); !strings.Contains(all, "can read or change /d/key.pem (mode 0644)") || strings.Contains(all, "cert.pem (mode") {
		t.Errorf("of files that everybody may read, it says\n%s", all)
	}
}

// What a neighbor is asked to be secured with, and cannot be, is an error at start, too: there is no silent fallback.
func TestBGP_SEC_03_NoTCPAO_BGP_OPEN_06_NoRole(t *testing.T) {
	for _, r := range []struct{ statement, diags string }{
		{"tcp_ao secret", `f:7:3: error: tcp_ao is refused: gobgp has no TCP-AO (RFC 5925), and nothing weaker takes its place unasked: password is TCP MD5`},
		{"role customer", `f:7:3: error: role is refused: gobgp 3 cannot send the capability of RFC 9234; what is received is never announced again in any case`},
	} {
		text := strings.Replace(inNeighbor, "STATEMENT", r.statement, 1)
		cfg, diags := conf.Parse("f", conf.FileMap{"f": text}, conf.Env{HostName: "a"}, conf.Options{Lenient: true})
		if got := strings.TrimSpace(lines(diags)); cfg != nil || got != r.diags {
			t.Errorf("%s: configuration %v, says\n%s\nwant\n%s", r.statement, cfg != nil, got, r.diags)
		}
	}
}
