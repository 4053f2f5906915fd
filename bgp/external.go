package bgp

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// External is a gobgpd that runs by itself and is spoken to over gRPC, in place of a speaker process of our own.
//
// Whose it is depends on the neighbors of the speaker. With at least one, gobgpd has to be there without any
// configuration, and gets all of it from us: AS, policies, neighbors. Without one it belongs to its operator: then only the
// prefixes of the allow list are added and withdrawn, and nothing else in it is ever touched.
type External struct {
	// Target is "unix:/PATH" or "ADDRESS:PORT".
	Target string
	// TLS protects the connection to an ADDRESS:PORT; nil: plain text.
	TLS *TLS
}

// TLS is how gobgpd is known and how it knows us. All of it is PEM text.
type TLS struct {
	CA string // who signed gobgpd's certificate; empty: one that this host trusts anyway
	// Certificate and Key are ours; both or none.
	Certificate, Key string
	// ServerName is the name in gobgpd's certificate; empty: the ADDRESS.
	ServerName string
}

// unknownHold stands for the hold time of sessions that we did not configure: gobgp's and RFC 4271's own (section 10).
const unknownHold = 90 * time.Second

// OperatorOwned reports whether the speaker is a gobgpd with a configuration of its own.
func (c *SpeakerConfig) OperatorOwned() bool { return c.External != nil && len(c.Neighbors) == 0 }

// Backend names what speaks: "embedded", or "gobgpd" with its target.
func (c *SpeakerConfig) Backend() string {
	if c.External == nil {
		return "embedded"
	}
	return "gobgpd " + c.External.Target
}

// LongestHold is the longest hold time among the speaker's sessions: so long do neighbors of a dead host keep its routes.
// Those of an operator's gobgpd are not known here and count as 90 seconds. No session: 0.
func (c *SpeakerConfig) LongestHold() (hold time.Duration) {
	if c.OperatorOwned() {
		return unknownHold
	}
	for i := range c.Neighbors {
		hold = max(hold, c.Neighbors[i].HoldTime)
	}
	return hold
}

// Equal reports whether two are the same gobgpd, spoken to in the same way.
func (e *External) Equal(o *External) bool {
	if e == nil || o == nil {
		return e == o
	}
	if e.TLS == nil || o.TLS == nil {
		return e.Target == o.Target && e.TLS == o.TLS
	}
	return e.Target == o.Target && *e.TLS == *o.TLS
}

// Check reports everything that is wrong with it, joined. That the PEM is what it should be is found out when it is used.
func (e *External) Check() error {
	var errs []error
	if _, err := ParseTarget(e.Target); err != nil {
		errs = append(errs, err)
	}
	if t := e.TLS; t != nil {
		if e.Local() {
			errs = append(errs, errors.New("tls is for ADDRESS:PORT; a Unix socket needs none"))
		}
		if (t.Certificate == "") != (t.Key == "") {
			errs = append(errs, errors.New("tls: cert and key go together"))
		}
	}
	return errors.Join(errs...)
}

// Local reports whether gobgpd is reached through a Unix socket.
func (e *External) Local() bool { return strings.HasPrefix(e.Target, "unix:") }

// Loopback reports whether what is said to gobgpd stays on this host.
func (e *External) Loopback() bool {
	a, err := netip.ParseAddrPort(e.Target)
	return e.Local() || err == nil && a.Addr().IsLoopback()
}

// MaxSocketPath is the longest path of a Unix socket, in octets (unix(7)).
const MaxSocketPath = 107

// ParseTarget reads where a gobgpd listens - unix:/PATH (also unix:///PATH) or ADDRESS:PORT - and returns it in the form
// of External.Target. Names are not resolved: the way to the routes must not depend on a resolver.
func ParseTarget(s string) (string, error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if rest, ok := strings.CutPrefix(path, "//"); ok {
			path = rest
		}
		switch {
		case !strings.HasPrefix(path, "/") || strings.ContainsRune(path, 0):
			return "", fmt.Errorf("gobgpd at %q: want unix: and an absolute path", s)
		case len(path) > MaxSocketPath:
			return "", fmt.Errorf("gobgpd at %q: the path of a socket has at most %d octets", s, MaxSocketPath)
		}
		return "unix:/" + strings.TrimLeft(path, "/"), nil
	}
	a, err := netip.ParseAddrPort(s)
	if err != nil || a.Port() == 0 || a.Addr().IsUnspecified() || a.Addr().IsMulticast() || a.Addr().Is4In6() {
		return "", fmt.Errorf("gobgpd at %q: want ADDRESS:PORT ([ADDRESS]:PORT for IPv6) or unix:/PATH", s)
	}
	return a.String(), nil
}
