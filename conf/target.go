package conf

import (
	"net/netip"
	"strconv"
	"strings"
)

// splitHostPort splits HOST, HOST:PORT, [ADDRESS] or [ADDRESS]:PORT, or says why it cannot. The port is 0 if there is none.
func splitHostPort(s string) (host string, port uint16, why string) {
	host, rest := s, ""
	switch end := strings.IndexByte(s, ']'); {
	case strings.HasPrefix(s, "[") && end > 0:
		host, rest = s[1:end], s[end+1:]
		if _, err := netip.ParseAddr(host); err != nil || !strings.Contains(host, ":") {
			return "", 0, "only an IPv6 address stands in brackets"
		}
	case strings.Count(s, ":") > 1:
		return "", 0, "an IPv6 address stands in brackets"
	default:
		if i := strings.IndexByte(s, ':'); i >= 0 {
			host, rest = s[:i], s[i:]
		}
	}
	if rest == "" {
		return host, 0, ""
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(rest, ":"), 10, 16)
	if err != nil || n == 0 || rest[0] != ':' || !digits(rest[1:]) {
		return "", 0, "the port is none from 1 to 65535"
	}
	return host, uint16(n), ""
}

// maxHostName is the length of the longest name (RFC 1035 section 2.3.4).
const maxHostName = 253

// parseHost returns the address that a host is, if it is one, or says why it is no host. A name has letters, digits,
// hyphens and underscores between its dots.
func parseHost(s string) (netip.Addr, string) {
	a, err := netip.ParseAddr(s)
	switch {
	case err == nil && (a.Is4In6() || !host(a)):
		return netip.Addr{}, "it is not the address of a host"
	case err == nil && a.Is6() && a.IsLinkLocalUnicast() != (a.Zone() != ""):
		return netip.Addr{}, "a link-local address, and only that, has the interface with it (fe80::1%eth0)"
	case err == nil:
		return a, ""
	case s == "":
		return netip.Addr{}, "the host is missing"
	case len(s) > maxHostName:
		return netip.Addr{}, "the name is too long"
	case strings.Trim(s, "0123456789.") == "" || strings.Contains(s, ":"):
		return netip.Addr{}, "it is not an address"
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, notInName) {
			return netip.Addr{}, "it is not the name of a host"
		}
	}
	return netip.Addr{}, ""
}

func notInName(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
}

// printable reports whether a text is ASCII without blanks.
func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

func orText(s, def string) string {
	if s == "" {
		return def
	}
	return s
}
