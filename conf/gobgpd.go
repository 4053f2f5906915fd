package conf

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"path"
	"slices"
	"strings"

	"failoverd/bgp"
	"failoverd/failover"
)

// tlsBlock is the draft of the tls block of a bgp_speaker.
type tlsBlock struct {
	at     Token
	ca     field[string]
	cert   field[string]
	key    field[string]
	server field[string]
}

// inlinePEM marks a PEM text that stands in the configuration itself, as what Format writes does.
const inlinePEM = "base64:"

var tlsWords = newTable("tls", []row[*tlsBlock]{
	single("ca", func(d *decoder, t *tlsBlock, c *cursor) { t.ca.set(d.pem(c, false)) }),
	single("cert", func(d *decoder, t *tlsBlock, c *cursor) { t.cert.set(d.pem(c, false)) }),
	single("key", func(d *decoder, t *tlsBlock, c *cursor) { t.key.set(d.pem(c, true)) }),
	single("server_name", func(d *decoder, t *tlsBlock, c *cursor) { t.server.set(d.text(c, "the name in gobgpd's certificate")) }),
})

// backend decodes who speaks: a process of our own, or a gobgpd that is there anyway.
func (d *decoder) backend(s *speaker, c *cursor) {
	kind, at, ok := d.oneOf(c, "embedded", "gobgpd")
	if !ok || kind == "embedded" {
		s.gobgpd.set("", at, ok)
		return
	}
	text, at, ok := d.text(c, "ADDRESS:PORT or unix:/PATH")
	if ok {
		target, err := bgp.ParseTarget(text)
		if ok = err == nil; ok {
			text = target
		} else {
			d.errorf(at, "backend gobgpd %q: want ADDRESS:PORT ([ADDRESS]:PORT for IPv6) or unix: and an absolute path of at most %d octets", text, bgp.MaxSocketPath)
		}
	}
	s.gobgpd.set(text, at, ok)
}

// tls decodes the block of that name.
func (d *decoder) tls(s *speaker, c *cursor) {
	t := &tlsBlock{at: c.keyword}
	if s.tls != nil {
		d.errorf(c.keyword, "tls is there twice, first at %s", s.tls.at.Pos)
	}
	s.tls = t
	walk(d, tlsWords, t, d.body(c))
}

// pem returns the content of a file with certificates or a key: a relative name is relative to the file that the word
// stands in; base64:TEXT is the content itself. secret: others should not be able to read it.
func (d *decoder) pem(c *cursor, secret bool) (string, Token, bool) {
	name, t, ok := d.text(c, "the name of a PEM file")
	if !ok {
		return "", t, false
	}
	if text, inline := strings.CutPrefix(name, inlinePEM); inline {
		data, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			d.errorf(t, "%s: %s wants the base64 form of a PEM file", c.keyword.Text, inlinePEM)
		} else if secret {
			d.exposed(t, c.keyword.Text, t.Pos.File)
		}
		return string(data), t, err == nil
	}
	if !path.IsAbs(name) {
		name = path.Join(path.Dir(t.Pos.File), name)
	}
	data, err := d.src.Read(name)
	if err != nil {
		d.errorf(t, "%s: %v", c.keyword.Text, err)
		return "", t, false
	}
	if secret {
		d.exposed(t, c.keyword.Text, name)
	}
	// The file is part of what the configuration says.
	d.extra = append(d.extra, string(data))
	return string(data), t, true
}

// resolveExternal returns the gobgpd of a speaker, or nil.
func (d *decoder) resolveExternal(s *speaker) *bgp.External {
	if s.gobgpd.or("") == "" {
		if s.tls != nil && s.gobgpd.sound() {
			d.errorf(s.tls.at, "tls is for backend gobgpd ADDRESS:PORT: the embedded speaker has a private socket")
		}
		return nil
	}
	at := s.gobgpd.at
	e := &bgp.External{Target: s.gobgpd.value}
	switch {
	case s.tls != nil && e.Local():
		d.errorf(s.tls.at, "tls is for backend gobgpd ADDRESS:PORT: a Unix socket is protected by the permissions of its directory")
	case s.tls != nil:
		e.TLS = d.resolveTLS(s.tls)
	case !e.Loopback():
		d.warnf(at, "backend gobgpd %s: without tls, everybody on the way to it can change every route of it", e.Target)
	}
	d.warnf(at, "backend gobgpd: a gobgpd goes on announcing when failoverd dies; have the service manager withdraw then (ExecStopPost=gobgp global rib del PREFIX) and start failoverd again, which sweeps what a dead one left")
	if s.listen.or(0) != 0 && len(s.neighbors) == 0 && !s.broken {
		d.errorf(s.listen.at, "listen_port: without a neighbor here, gobgpd is its operator's, and so is where it listens")
	}
	return e
}

// checkShared refuses two speakers on one gobgpd that would undo each other's work: each sweeps what it does not want from the
// prefixes of its own allow list, and gobgpd has one set of neighbors and policies. That they are the same gobgpd is seen only where
// they are reached in the same way.
func (d *decoder) checkShared(cfg *failover.Config) {
	for i := range cfg.Speakers {
		at, s := d.speakers[i].gobgpd.at, &cfg.Speakers[i]
		for j := range i {
			o := &cfg.Speakers[j]
			if s.External == nil || o.External == nil || s.External.Target != o.External.Target {
				continue
			}
			p := slices.IndexFunc(s.Allow, o.Allow.Permits)
			switch {
			case len(s.Neighbors)+len(o.Neighbors) > 0:
				d.errorf(at, "backend gobgpd %s: bgp_speaker %s has it already, and a gobgpd with neighbors from here has one bgp_speaker; put the neighbors and prefixes of both into one",
					s.External.Target, o.Name)
			case p >= 0:
				d.errorf(at, "backend gobgpd %s: bgp_speaker %s is on it too, and has %s in its allow_prefix as well: each would remove what the other one announces",
					s.External.Target, o.Name, s.Allow[p])
			}
		}
	}
}

// resolveTLS holds what is in the files to each other.
func (d *decoder) resolveTLS(t *tlsBlock) *bgp.TLS {
	out := &bgp.TLS{CA: t.ca.or(""), Certificate: t.cert.or(""), Key: t.key.or(""), ServerName: t.server.or("")}
	if t.ca.ok && !x509.NewCertPool().AppendCertsFromPEM([]byte(out.CA)) {
		d.errorf(t.ca.at, "ca: no certificate in it (want a PEM file)")
	}
	switch {
	case t.cert.missing() && t.key.missing():
	case t.cert.missing():
		d.errorf(t.key.at, "key: its cert is missing")
	case t.key.missing():
		d.errorf(t.cert.at, "cert: its key is missing")
	case t.cert.ok && t.key.ok:
		// The error names neither the file nor anything of the key.
		if _, err := tls.X509KeyPair([]byte(out.Certificate), []byte(out.Key)); err != nil {
			d.errorf(t.key.at, "cert and key do not make a pair: %s", strings.TrimPrefix(err.Error(), "tls: "))
		}
	}
	return out
}

// external prints the backend of a speaker.
func (p *printer) external(e *bgp.External) {
	if e == nil {
		return
	}
	p.line("backend gobgpd", quote(e.Target))
	if e.TLS == nil {
		return
	}
	pem := func(word, text string) {
		p.when(text != "", word, inlinePEM+base64.StdEncoding.EncodeToString([]byte(text)))
	}
	p.block("tls", func() {
		pem("ca", e.TLS.CA)
		pem("cert", e.TLS.Certificate)
		pem("key", e.TLS.Key)
		p.when(e.TLS.ServerName != "", "server_name", quote(e.TLS.ServerName))
	})
}
