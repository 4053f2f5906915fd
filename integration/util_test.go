package integration

import (
	"net/netip"
	"strconv"
	"strings"
)

func joinPrefixes(list []netip.Prefix) string {
	s := make([]string, len(list))
	for i, p := range list {
		s[i] = p.String()
	}
	return strings.Join(s, " ")
}

// strconvPID returns the process id of an agent in digits.
func strconvPID(a *agent) string { return strconv.Itoa(a.proc.PID()) }
