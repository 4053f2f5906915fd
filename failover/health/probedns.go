package health

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"failoverd/failover"
)

// dnsPort is the port of servers that have none.
const dnsPort = 53

// question asks a DNS server: by UDP, and by TCP if the answer does not fit, or if that is what is wanted. A datagram that is
// lost is a probe that is lost.
type question struct {
	probe *failover.Probe
	way   way
	to    target
	kind  uint16 // of the records
}

func dnsProber(p *failover.Probe, w way) prober {
	to, err := newTarget(p.Target, dnsPort)
	if err != nil {
		return senseless(err)
	}
	q := &question{probe: p, way: w, to: to, kind: dns.StringToType[p.DNS.Type]}
	if q.kind == dns.TypeNone {
		return senseless(fmt.Errorf("dns type %q", p.DNS.Type))
	}
	return q.ask
}

// ask asks once.
func (q *question) ask(ctx context.Context) outcome {
	m := new(dns.Msg).SetQuestion(dns.Fqdn(q.probe.Query), q.kind)
	text, err := m.Pack()
	if err != nil {
		return outcome{blind: true, cause: harmless("query " + q.probe.Query + ": " + err.Error())}
	}
	begun := time.Now()
	a, err := q.exchange(ctx, m, text)
	if err != nil && errors.Is(err, io.EOF) {
		return outcome{cause: "the connection was closed before the end of the answer"}
	}
	if err != nil {
		return q.way.failure(ctx, err)
	}
	o := q.judge(a)
	if o.ok {
		o.rtt = time.Since(begun)
	}
	return o
}

// exchange returns the answer to a question.
func (q *question) exchange(ctx context.Context, m *dns.Msg, text []byte) (*dns.Msg, error) {
	if !q.probe.DNS.TCP {
		a, err := q.byUDP(ctx, m, text)
		if err != nil || !a.Truncated {
			return a, err
		}
	}
	return q.byTCP(ctx, m, text)
}

func (q *question) byUDP(ctx context.Context, m *dns.Msg, text []byte) (*dns.Msg, error) {
	l, err := q.way.dial(ctx, unix.SOCK_DGRAM, &q.to, nil)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	if _, err := l.Write(text); err != nil {
		return nil, err
	}
	buffer := make([]byte, 4096)
	for {
		n, err := l.Read(buffer)
		if err != nil {
			return nil, err
		}
		a, err := answerTo(m, buffer[:n])
		if a != nil || err != nil {
			return a, err
		}
	}
}

func (q *question) byTCP(ctx context.Context, m *dns.Msg, text []byte) (*dns.Msg, error) {
	l, err := q.way.dial(ctx, unix.SOCK_STREAM, &q.to, nil)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	framed := binary.BigEndian.AppendUint16(nil, uint16(len(text)))
	if _, err := l.Write(append(framed, text...)); err != nil {
		return nil, err
	}
	var size [2]byte
	if _, err := io.ReadFull(l, size[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(l, b); err != nil {
		return nil, err
	}
	a, err := answerTo(m, b)
	if a == nil && err == nil {
		err = errors.New("the answer is to another question")
	}
	return a, err
}

// answerTo returns the answer to m that b is; nil: it is something else. An error says that it cannot be read.
func answerTo(m *dns.Msg, b []byte) (*dns.Msg, error) {
	if len(b) < 2 || binary.BigEndian.Uint16(b) != m.Id {
		return nil, nil
	}
	a := new(dns.Msg)
	if err := a.Unpack(b); err != nil {
		return nil, errors.New("the answer is malformed")
	}
	if !a.Response || a.Opcode != m.Opcode {
		return nil, nil
	}
	if len(a.Question) != 1 { // some leave it out when they refuse
		return a, nil
	}
	asked, answered := &m.Question[0], &a.Question[0]
	if asked.Qtype != answered.Qtype || asked.Qclass != answered.Qclass || !strings.EqualFold(asked.Name, answered.Name) {
		return nil, nil
	}
	return a, nil
}

// judge says whether an answer is what it should be.
func (q *question) judge(a *dns.Msg) outcome {
	want := dns.RcodeSuccess
	if q.probe.DNS.Missing {
		want = dns.RcodeNameError
	}
	code := "rcode " + rcodeText(a.Rcode)
	if a.Rcode != want {
		return outcome{cause: code}
	}
	if q.probe.DNS.Missing {
		return outcome{ok: true, cause: code}
	}
	var found []string
	for _, rr := range a.Answer {
		if rr.Header().Rrtype != q.kind {
			continue // the chain of aliases that leads to it
		}
		text := recordText(rr)
		if len(q.probe.DNS.Answers) == 0 || q.expects(text) {
			return outcome{ok: true, cause: harmless(q.probe.DNS.Type + " " + text)}
		}
		found = append(found, text)
	}
	if len(found) == 0 {
		return outcome{cause: "no " + q.probe.DNS.Type + " record"}
	}
	return outcome{cause: "another answer than the expected one", said: harmless(strings.Join(found, ", "))}
}

func rcodeText(code int) string {
	if s, ok := dns.RcodeToString[code]; ok {
		return s
	}
	return fmt.Sprint(code)
}

// expects reports whether the text of a record is one of those that should be there.
func (q *question) expects(text string) bool {
	for _, want := range q.probe.DNS.Answers {
		if sameRecord(q.kind, text, want) {
			return true
		}
	}
	return false
}

// sameRecord compares the text of a record with what should be there. Of a SOA record that may be the beginning.
func sameRecord(kind uint16, text, want string) bool {
	switch kind {
	case dns.TypeTXT:
		return text == want
	case dns.TypeA, dns.TypeAAAA:
		a, err := netip.ParseAddr(text)
		b, err2 := netip.ParseAddr(want)
		return err == nil && err2 == nil && a == b
	}
	a, b := strings.Fields(text), strings.Fields(want)
	if kind == dns.TypeSOA {
		a = a[:min(len(a), len(b))]
	}
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !strings.EqualFold(strings.TrimSuffix(a[i], "."), strings.TrimSuffix(b[i], ".")) {
			return false
		}
	}
	return true
}

// recordText returns what a record says. The strings of a TXT record are one text.
func recordText(rr dns.RR) string {
	if t, ok := rr.(*dns.TXT); ok {
		return unescape(strings.Join(t.Txt, ""))
	}
	return strings.TrimPrefix(rr.String(), rr.Header().String())
}

// unescape takes back what the library does to octets that are not printable (RFC 1035 section 5.1).
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		if i+2 < len(s) && isDigit(s[i]) && isDigit(s[i+1]) && isDigit(s[i+2]) {
			b.WriteByte((s[i]-'0')*100 + (s[i+1]-'0')*10 + s[i+2] - '0')
			i += 2
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
