package status

import (
	"io"

	"failoverd/failover"
)

// FindCheck returns the health check of that name; nil: there is none.
func FindCheck(s *failover.Snapshot, name string) *failover.CheckStatus {
	for i := range s.Checks {
		if s.Checks[i].Name == name {
			return &s.Checks[i]
		}
	}
	return nil
}

// FindCheckGroup returns the check group of that name; nil: there is none.
func FindCheckGroup(s *failover.Snapshot, name string) *failover.CheckGroupStatus {
	for i := range s.CheckGroups {
		if s.CheckGroups[i].Name == name {
			return &s.CheckGroups[i]
		}
	}
	return nil
}

// find returns whatever has the name, for JSON; nil: nothing has. Of things of several kinds that have one name, a router
// goes before an anycast service, and that before a health check and a check group.
func find(s *failover.Snapshot, name string) any {
	if r := findRouter(s, name); r != nil {
		return r
	}
	if a := FindService(s, name); a != nil {
		return a
	}
	if c := FindCheck(s, name); c != nil {
		return c
	}
	if g := FindCheckGroup(s, name); g != nil {
		return g
	}
	return nil
}

// CheckDetail prints one health check. The error is that of w.
func CheckDetail(w io.Writer, s *failover.Snapshot, c *failover.CheckStatus, o TableOptions) error {
	p := &printer{w: w, width: o.Width, color: o.Color}
	p.checks([]failover.CheckStatus{*c}, Now(s))
	return p.err
}

// CheckGroupDetail prints one check group, and the health checks among its members. The error is that of w.
func CheckGroupDetail(w io.Writer, s *failover.Snapshot, g *failover.CheckGroupStatus, o TableOptions) error {
	p := &printer{w: w, width: o.Width, color: o.Color}
	p.checkGroups([]failover.CheckGroupStatus{*g}, Now(s))
	var members []failover.CheckStatus
	for i := range g.Members {
		if c := FindCheck(s, g.Members[i].Name); c != nil && g.Members[i].Kind == "track_check" {
			members = append(members, *c)
		}
	}
	if len(members) > 0 {
		p.line("")
		p.checks(members, Now(s))
	}
	return p.err
}
