package failover

import (
	"fmt"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
)

// ProbeKind is how a health check looks.
type ProbeKind uint8

// Kinds of probes.
const (
	ProbeTCP ProbeKind = iota
	ProbeHTTP
	ProbeICMP
	ProbeBGPRoute
	ProbeDNS
	ProbeGRPC
	ProbePrometheus
	ProbeLink
)

// String returns the configuration word.
func (k ProbeKind) String() string {
	return [...]string{"tcp", "http", "icmp", "bgp_route", "dns", "grpc", "prometheus", "link"}[k]
}

// Probe is one probe line of a health check.
type Probe struct {
	Kind ProbeKind
	// Target is HOST:PORT, a URL, a host, a server, an interface, or nothing for ProbeBGPRoute.
	Target string
	// For ProbeHTTP: Statuses are ranges of codes that are all right (none: 200-299), Body a regular expression that the
	// body must match (empty: none), Method and Host what is sent (empty: GET, that of the URL). HTTP2 speaks HTTP/2, over
	// TLS. CertExpiry is how many days before its end a certificate is warned about; 0: never.
	Statuses   [][2]int
	Body       string
	Method     string
	Host       string
	HTTP2      bool
	CertExpiry int
	// For ProbeHTTP and ProbePrometheus: Headers are names and values that are sent, too.
	Headers [][2]string
	// For all that speak TLS: Insecure skips the verification of certificates, ServerName is what they must be for (empty:
	// the host), CA a file with the authorities that may have signed them (empty: those of the system).
	Insecure   bool
	ServerName string
	CA         string
	// For ProbeBGPRoute: the prefix is seen through a session of Speaker; OriginAS is the last AS of its path, 0: any.
	Prefix   netip.Prefix
	Speaker  string
	OriginAS uint32
	// AllNeighbors: every neighbor with an established session has sent it, and not one of them.
	AllNeighbors bool
	// Query is a name for ProbeDNS, an expression for ProbePrometheus.
	Query string
	DNS   DNSProbe
	// For ProbeGRPC: the name of the service, empty: the server as a whole; TLS: it is spoken.
	Service string
	TLS     bool
	// For ProbePrometheus: what the result must not pass, and what it means that there is none.
	Limit  Threshold
	Absent AbsentPolicy
}

// DNSProbe is what else there is about a question of ProbeDNS.
type DNSProbe struct {
	// Type is the type of the records: A, AAAA, CNAME, MX, NS, PTR, SOA, SRV or TXT.
	Type string
	// Answers are texts of records, one of which must be there; none: any record will do.
	Answers []string
	// Missing: the name must not exist (NXDOMAIN).
	Missing bool
	// TCP asks by TCP only; otherwise by UDP, and by TCP if the answer does not fit.
	TCP bool
}

// Threshold is a number that is not to be passed.
type Threshold struct {
	// Below: a value below Value is bad, otherwise one above it.
	Below bool
	Value float64
	// Recover is what a value that was bad must have come back to, at least.
	Recover float64
}

// String returns "above 0.2, back at 0.15".
func (t Threshold) String() string {
	s := "above "
	if t.Below {
		s = "below "
	}
	s += Number(t.Value)
	if t.Recover != t.Value {
		s += ", back at " + Number(t.Recover)
	}
	return s
}

// Number is a number as the configuration has it.
func Number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// AbsentPolicy says what it means that a query has no result.
type AbsentPolicy uint8

// Policies.
const (
	AbsentUnhealthy AbsentPolicy = iota
	AbsentHealthy
	AbsentKeep // nothing: what was found before counts
)

// String returns the configuration word.
func (a AbsentPolicy) String() string { return [...]string{"unhealthy", "healthy", "keep"}[a] }

// String returns the probe as the configuration has it, without most of its options.
func (p *Probe) String() string {
	s := p.aim()
	switch p.Kind {
	case ProbeDNS:
		s += " " + p.Query + " " + p.DNS.Type
	case ProbeGRPC:
		if p.Service != "" {
			s += " service " + p.Service
		}
	case ProbePrometheus:
		s += " " + p.Limit.String() + ": " + p.Query
	}
	return s
}

// aim returns the kind of a probe and what it is aimed at.
func (p *Probe) aim() string {
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

// headerNames returns the names of headers; their values may be secrets.
func headerNames(headers [][2]string) string {
	names := make([]string, len(headers))
	for i, h := range headers {
		names[i] = h[0]
	}
	return orNone(strings.Join(names, " "))
}

// SameProbe reports whether two checks look at the same thing in the same way, however often.
func (c *CheckConfig) SameProbe(o *CheckConfig) bool {
	return reflect.DeepEqual(c.Probe, o.Probe) && c.Source == o.Source && c.Interface == o.Interface && c.NetNamespace == o.NetNamespace
}

// Equal compares two checks by value.
func (c *CheckConfig) Equal(o *CheckConfig) bool { return reflect.DeepEqual(c, o) }
