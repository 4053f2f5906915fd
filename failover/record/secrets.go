package record

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"

	"failoverd/failover"
	"failoverd/vrrp"
	"failoverd/vrrp/wire"
)

// Random fills b with octets that nobody can foretell.
type Random func(b []byte)

// secrets knows what stands in a recording for each secret of the configurations: other octets, by chance, that have
// nothing to do with it. What is equal stays equal and what differs stays different, and that is all that the core's
// decisions depend on. A signature under a key is replaced by one under its substitute. It is immutable.
type secrets struct {
	substitutes map[string]string
	plain       map[[8]byte][8]byte
	keys        map[keyOf][]keyPair
}

// keyOf says where a key of auth_hmac may be meant: the number in the trailer, and the VRID.
type keyOf struct{ id, vrid uint8 }

type keyPair struct{ secret, substitute string }

// substituteLen is the length of a substitute: that of the shortest key that vrrp accepts.
const substituteLen = vrrp.MinSecret

// learn returns the secrets of cfg, with the same substitutes as in s for what was known there; s may be nil.
func (s *secrets) learn(cfg *failover.Config, random Random) *secrets {
	n := &secrets{substitutes: make(map[string]string), plain: make(map[[8]byte][8]byte), keys: make(map[keyOf][]keyPair)}
	if s != nil {
		for k, v := range s.substitutes {
			n.substitutes[k] = v
		}
	}
	forEachSecret(cfg, func(secret string) string {
		if secret != "" && n.substitutes[secret] == "" {
			b := make([]byte, substituteLen)
			random(b)
			n.substitutes[secret] = base32.StdEncoding.EncodeToString(b)[:substituteLen]
		}
		return secret
	})
	for i := range cfg.Routers {
		v := &cfg.Routers[i].VRRP
		if v.AuthType == wire.AuthSimple {
			n.plain[v.AuthData] = n.authData(v.AuthData)
		}
		if v.HMAC == nil {
			continue
		}
		for _, k := range v.HMAC.Keys {
			at, p := keyOf{k.ID, v.Key.VRID}, keyPair{string(k.Secret), n.substitutes[string(k.Secret)]}
			if !slices.Contains(n.keys[at], p) {
				n.keys[at] = append(n.keys[at], p)
			}
		}
	}
	return n
}

func (s *secrets) authData(d [8]byte) (sub [8]byte) {
	copy(sub[:], s.substitutes[string(d[:])])
	return sub
}

// forEachSecret calls f for each secret of cfg and puts what it returns in its place. If f returns what it is given, cfg is
// only read.
func forEachSecret(cfg *failover.Config, f func(string) string) {
	keys := func(list [][]byte) {
		for i := range list {
			if k := f(string(list[i])); k != string(list[i]) {
				list[i] = []byte(k)
			}
		}
	}
	for i := range cfg.Routers {
		v := &cfg.Routers[i].VRRP
		if v.AuthType == wire.AuthSimple {
			if old := string(v.AuthData[:]); f(old) != old {
				copy(v.AuthData[:], f(old))
			}
		}
		if v.HMAC == nil {
			continue
		}
		for j := range v.HMAC.Keys {
			replace(&v.HMAC.Keys[j].Secret, f)
		}
	}
	for i := range cfg.Speakers {
		for j := range cfg.Speakers[i].Neighbors {
			replace(&cfg.Speakers[i].Neighbors[j].Password, f)
		}
	}
	for i := range cfg.Sites {
		for j := range cfg.Sites[i].Partners {
			keys(cfg.Sites[i].Partners[j].Keys)
		}
	}
	for i := range cfg.Watches {
		keys(cfg.Watches[i].Keys)
		for j := range cfg.Watches[i].Witnesses {
			keys(cfg.Watches[i].Witnesses[j].Keys)
		}
	}
	if cfg.WitnessServer != nil {
		keys(cfg.WitnessServer.Keys)
	}
	forEachArgument(cfg, f)
}

func replace[T ~string](s *T, f func(string) string) {
	if n := T(f(string(*s))); n != *s {
		*s = n
	}
}

// forEachArgument is forEachSecret for what may be one: arguments of commands, and what probes send.
func forEachArgument(cfg *failover.Config, f func(string) string) {
	command := func(c *failover.Command) {
		if c == nil {
			return
		}
		for i := 1; i < len(c.Args); i++ {
			replace(&c.Args[i], f)
		}
	}
	notify := func(n *failover.NotifyConfig) {
		for _, c := range []*failover.Command{n.Master, n.Backup, n.Fault, n.Stop, n.Deleted, n.RivalHeard, n.Any} {
			command(c)
		}
	}
	command(cfg.StartupScript)
	command(cfg.ShutdownScript)
	for i := range cfg.Routers {
		notify(&cfg.Routers[i].Notify)
	}
	for i := range cfg.Groups {
		notify(&cfg.Groups[i].Notify)
	}
	for i := range cfg.FIFOs {
		command(cfg.FIFOs[i].Script)
	}
	for i := range cfg.Scripts {
		command(&cfg.Scripts[i].Command)
	}
	for i := range cfg.Processes {
		command(&failover.Command{Args: cfg.Processes[i].Args})
	}
	for i := range cfg.Uses {
		command(&cfg.Uses[i].Command)
	}
	for i := range cfg.Checks {
		p := &cfg.Checks[i].Probe
		for j := range p.Headers {
			replace(&p.Headers[j][1], f)
		}
		if u, err := url.Parse(p.Target); err == nil && (u.User != nil || u.RawQuery != "") {
			replace(&p.Target, f)
		}
	}
}

// redact returns cfg as JSON without its secrets, and the substitutes of the keys that JSON leaves out.
func (s *secrets) redact(cfg *failover.Config) (text []byte, keys [][]byte, err error) {
	c, err := copyConfig(cfg)
	if err != nil {
		return nil, nil, err
	}
	forEachSecret(c, func(secret string) string { return s.substitutes[secret] })
	forEachKey(c, func(k *vrrp.Secret) { keys = append(keys, []byte(*k)) })
	text, err = json.Marshal(c)
	return text, keys, err
}

// restore is the opposite of redact, but for the secrets: the substitutes stay.
func restore(text []byte, keys [][]byte) (*failover.Config, error) {
	var c failover.Config
	d := json.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(&c); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	missing := false
	forEachKey(&c, func(k *vrrp.Secret) {
		if len(keys) == 0 {
			missing = true
			return
		}
		*k, keys = vrrp.Secret(keys[0]), keys[1:]
	})
	if missing || len(keys) > 0 {
		return nil, fmt.Errorf("configuration: another number of keys than of substitutes")
	}
	return &c, nil
}

// copyConfig returns a copy that has nothing in common with cfg.
func copyConfig(cfg *failover.Config) (*failover.Config, error) {
	text, err := json.Marshal(cfg)
	if err != nil {
		return nil, err
	}
	var keys [][]byte
	forEachKey(cfg, func(k *vrrp.Secret) { keys = append(keys, []byte(*k)) })
	return restore(text, keys)
}

// forEachKey calls f for each key of auth_hmac, which is no part of any JSON.
func forEachKey(cfg *failover.Config, f func(*vrrp.Secret)) {
	for i := range cfg.Routers {
		if h := cfg.Routers[i].VRRP.HMAC; h != nil {
			for j := range h.Keys {
				f(&h.Keys[j].Secret)
			}
		}
	}
}

// sign returns the HMAC that stands for that of p: right under the substitute of the key under which it is right.
func (s *secrets) sign(p *wire.Packet) (mac [wire.MACLen]byte) {
	covered := p.AppendCovered(nil)
	for _, k := range s.keys[keyOf{p.Trailer.KeyID, p.VRID}] {
		if sum := hmacOf(k.secret, covered); hmac.Equal(sum[:], p.Trailer.MAC[:]) {
			// Not all octets of the packet are in its fields: what is replayed is made of these alone.
			q := wire.Packet{Header: p.Header, Advertisement: p.Advertisement, Signed: true, Trailer: p.Trailer}
			return hmacOf(k.substitute, q.AppendCovered(nil))
		}
	}
	return mac
}

func hmacOf(key string, message []byte) (out [wire.MACLen]byte) {
	h := hmac.New(sha256.New, []byte(key))
	h.Write(message)
	copy(out[:], h.Sum(nil))
	return out
}
