package integration

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
)

func joinPrefixes(list []netip.Prefix) string {
	s := make([]string, len(list))
	for i, p := range list {
		s[i] = p.String()
	}
	return strings.Join(s, " ")
}

// pid returns the process id of the agent itself; proc is its supervisor.
func (a *agent) pid() (pid int) {
	a.t.Helper()
	waitFor(a.t, 5*time.Second, "the agent's process id", func() bool {
		s := a.status()
		if s != nil {
			pid = s.PID
		}
		return s != nil
	})
	return pid
}

// strconvPID returns the process id of an agent in digits.
func strconvPID(a *agent) string { return strconv.Itoa(a.pid()) }
