package health

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"failoverd/failover"
)

// nameServer answers by UDP and TCP on the same port of 127.0.0.1.
func nameServer(t *testing.T, answer dns.HandlerFunc) string {
	t.Helper()
	for range 20 {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		c, err := net.ListenPacket("udp4", l.Addr().String())
		if err != nil {
			_ = l.Close() // the port is somebody else's
			continue
		}
		for _, s := range []*dns.Server{{Listener: l, Handler: answer}, {PacketConn: c, Handler: answer}} {
			up := make(chan struct{})
			s.NotifyStartedFunc = func() { close(up) }
			go func() { _ = s.ActivateAndServe() }()
			<-up
			t.Cleanup(func() { _ = s.Shutdown() })
		}
		return l.Addr().String()
	}
	t.Fatal("no port is free for both")
	return ""
}

// zone is what the server of the tests knows.
func zone(t *testing.T) dns.HandlerFunc {
	t.Helper()
	var records []dns.RR
	for _, line := range []string{
		"www.example. 60 A 192.0.2.1", "www.example. 60 A 192.0.2.2", "www.example. 60 AAAA 2001:db8::1",
		"alias.example. 60 CNAME www.example.", "example. 60 MX 10 mail.example.",
		`example. 60 TXT "one \"two\" " "\195\164"`, "example. 60 SOA ns.example. admin.example. 7 1 2 3 4",
		"_sip._udp.example. 60 SRV 1 2 5060 sip.example.", "1.2.0.192.in-addr.arpa. 60 PTR www.example.", "example. 60 NS ns.example.",
	} {
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, rr)
	}
	for i := range 60 {
		rr, _ := dns.NewRR(fmt.Sprintf("many.example. 60 A 198.51.100.%d", i))
		records = append(records, rr)
	}
	return func(w dns.ResponseWriter, q *dns.Msg) {
		name, kind := strings.ToLower(q.Question[0].Name), q.Question[0].Qtype
		a := new(dns.Msg).SetReply(q)
		known := false
		for _, rr := range records {
			if rr.Header().Name != name {
				continue
			}
			known = true
			if rr.Header().Rrtype == kind || rr.Header().Rrtype == dns.TypeCNAME {
				a.Answer = append(a.Answer, rr)
			}
		}
		switch {
		case name == "silent.example.":
			return
		case name == "broken.example.":
			_, _ = w.Write([]byte{byte(q.Id >> 8), byte(q.Id), 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 60})
			return
		case name == "forged.example.":
			b := new(dns.Msg).SetReply(q)
			b.Id++
			_ = w.WriteMsg(b)
			b.Id, b.Question[0].Name = q.Id, "other.example."
			_ = w.WriteMsg(b)
			a.Question[0].Name = "forged.example."
			a.Answer = append(a.Answer, &dns.A{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(192, 0, 2, 9)})
		case name == "refused.example.":
			a.Rcode = dns.RcodeRefused
		case name == "strange.example.":
			a.Rcode = 13
		case name == "alias.example.":
			a.Answer = append(a.Answer, records[0])
		case !known:
			a.Rcode = dns.RcodeNameError
		}
		if w.LocalAddr().Network() == "udp" {
			a.Truncate(dns.MinMsgSize)
		}
		_ = w.WriteMsg(a)
	}
}

func TestDNSProbe(t *testing.T) {
	server := nameServer(t, zone(t))
	dead := closedPort(t)
	for _, tt := range []struct {
		name, server, query, kind string
		more                      failover.DNSProbe
		want                      string
	}{
		{"an address", server, "www.example", "A", failover.DNSProbe{}, "ok: A 192.0.2.1"},
		{"by TCP", server, "www.example", "A", failover.DNSProbe{TCP: true}, "ok: A 192.0.2.1"},
		{"any of those that are expected", server, "www.example.", "A", failover.DNSProbe{Answers: []string{"192.0.2.7", "192.0.2.2"}}, "ok: A 192.0.2.2"},
		{"none of them", server, "www.example", "A", failover.DNSProbe{Answers: []string{"192.0.2.7"}}, "failed: another answer than the expected one: 192.0.2.1, 192.0.2.2"},
		{"an address of IPv6, however it is written", server, "www.example", "AAAA", failover.DNSProbe{Answers: []string{"2001:DB8:0::1"}}, "ok: AAAA 2001:db8::1"},
		{"behind an alias", server, "alias.example", "A", failover.DNSProbe{Answers: []string{"192.0.2.1"}}, "ok: A 192.0.2.1"},
		{"the alias itself", server, "alias.example", "CNAME", failover.DNSProbe{Answers: []string{"WWW.example"}}, "ok: CNAME www.example."},
		{"a mail server", server, "example", "MX", failover.DNSProbe{Answers: []string{"10 mail.example"}}, "ok: MX 10 mail.example."},
		{"of another preference", server, "example", "MX", failover.DNSProbe{Answers: []string{"20 mail.example"}}, "failed: another answer than the expected one: 10 mail.example."},
		{"a text", server, "example", "TXT", failover.DNSProbe{Answers: []string{"one \"two\" ä"}}, "ok: TXT one \"two\" ä"},
		{"the beginning of a SOA record", server, "example", "SOA", failover.DNSProbe{Answers: []string{"ns.example"}}, "ok: SOA ns.example. admin.example. 7 1 2 3 4"},
		{"and its serial number", server, "example", "SOA", failover.DNSProbe{Answers: []string{"ns.example admin.example 8"}}, "failed: another answer than the expected one: ns.example. admin.example. 7 1 2 3 4"},
		{"a service", server, "_sip._udp.example", "SRV", failover.DNSProbe{Answers: []string{"1 2 5060 sip.example."}}, "ok: SRV 1 2 5060 sip.example."},
		{"a pointer", server, "1.2.0.192.in-addr.arpa", "PTR", failover.DNSProbe{}, "ok: PTR www.example."},
		{"a name server", server, "example", "NS", failover.DNSProbe{}, "ok: NS ns.example."},
		{"what does not fit into a datagram", server, "many.example", "A", failover.DNSProbe{Answers: []string{"198.51.100.59"}}, "ok: A 198.51.100.59"},
		{"a name without such a record", server, "example", "A", failover.DNSProbe{}, "failed: no A record"},
		{"a name that does not exist", server, "gone.example", "A", failover.DNSProbe{}, "failed: rcode NXDOMAIN"},
		{"and must not", server, "gone.example", "A", failover.DNSProbe{Missing: true}, "ok: rcode NXDOMAIN"},
		{"one that exists and must not", server, "www.example", "A", failover.DNSProbe{Missing: true}, "failed: rcode NOERROR"},
		{"a server that refuses", server, "refused.example", "A", failover.DNSProbe{}, "failed: rcode REFUSED"},
		{"a code without a name", server, "strange.example", "A", failover.DNSProbe{}, "failed: rcode 13"},
		{"no answer", server, "silent.example", "A", failover.DNSProbe{}, "failed: timed out after 300ms"},
		{"by TCP neither", server, "silent.example", "A", failover.DNSProbe{TCP: true}, "failed: timed out after 300ms"},
		{"what cannot be read", server, "broken.example", "A", failover.DNSProbe{}, "failed: the answer is malformed"},
		{"answers to other questions before the right one", server, "forged.example", "A", failover.DNSProbe{}, "ok: A 192.0.2.9"},
		{"by TCP there is only one", server, "forged.example", "A", failover.DNSProbe{TCP: true}, "failed: the answer is to another question"},
		{"nobody there", dead, "www.example", "A", failover.DNSProbe{}, "failed: connection refused"},
		{"nobody there by TCP", dead, "www.example", "A", failover.DNSProbe{TCP: true}, "failed: connection refused"},
		{"a type that is none", server, "www.example", "ANYTHING", failover.DNSProbe{}, `unknown: dns type "ANYTHING"`},
	} {
		c := failover.CheckConfig{Probe: failover.Probe{Kind: failover.ProbeDNS, Target: tt.server, Query: tt.query, DNS: tt.more}}
		c.Probe.DNS.Type = tt.kind
		if got := probeOnce(t, c); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// Whatever a server answers, it is an answer, something else, or an error.
func FuzzDNSAnswer(f *testing.F) {
	m := new(dns.Msg).SetQuestion("www.example.", dns.TypeTXT)
	m.Id = 7
	for _, text := range []string{"www.example. 60 TXT \"a\\\"\\000\"", "www.example. 60 A 192.0.2.1"} {
		rr, err := dns.NewRR(text)
		if err != nil {
			f.Fatal(err)
		}
		a := new(dns.Msg).SetReply(m)
		a.Answer = []dns.RR{rr}
		b, err := a.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	q := &question{probe: &failover.Probe{DNS: failover.DNSProbe{Type: "TXT", Answers: []string{"a"}}}, kind: dns.TypeTXT}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := answerTo(m, b)
		if a != nil && err != nil {
			t.Fatalf("an answer and %v", err)
		}
		if a == nil {
			return
		}
		if o := q.judge(a); o.cause == "" || o.blind {
			t.Errorf("%+v", o)
		}
	})
}
