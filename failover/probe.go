package failover

import (
	"fmt"
	"reflect"
	"strconv"
)

// String returns the probe as the configuration has it, without its options.
func (p *Probe) String() string {
	if p.Kind != ProbeBGPRoute {
		return p.Kind.String() + " " + p.Target
	}
	s := fmt.Sprintf("%s %s speaker %s", p.Kind, p.Prefix, p.Speaker)
	if p.OriginAS != 0 {
		s += " origin_as " + strconv.FormatUint(uint64(p.OriginAS), 10)
	}
	if p.AllNeighbors {
		s += " from all_neighbors"
	}
	return s
}

// StatusText returns the codes that are all right: "200-299 404".
func (p *Probe) StatusText() (s string) {
	for i, r := range p.Statuses {
		if i > 0 {
			s += " "
		}
		s += strconv.Itoa(r[0])
		if r[1] != r[0] {
			s += "-" + strconv.Itoa(r[1])
		}
	}
	return s
}

// SameProbe reports whether two checks look at the same thing in the same way, however often.
func (c *CheckConfig) SameProbe(o *CheckConfig) bool {
	return reflect.DeepEqual(c.Probe, o.Probe) && c.Source == o.Source && c.Interface == o.Interface
}

// Equal compares two checks by value.
func (c *CheckConfig) Equal(o *CheckConfig) bool { return reflect.DeepEqual(c, o) }
