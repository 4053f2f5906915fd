package conf

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	"failoverd/failover"
)

// kernelRule is the draft of an entry of virtual_rules or static_rules.
type kernelRule struct {
	at   Token  // the first word
	what string // virtual_rules or static_rules
	ok   bool   // nothing is wrong with the words, each for itself

	not         field[bool]
	from, to    field[netip.Prefix] // zero: any
	in, out     field[string]
	tos         field[uint8]
	mark        field[fwmark]
	action      field[uint8] // besides table and goto
	table       field[uint32]
	jump        field[uint32] // goto
	priority    field[uint32]
	invented    uint32 // the priority of a rule that has none
	suppress    field[uint8]
	ipProto     field[uint32]
	sourcePorts field[span]
	destPorts   field[span]
	users       field[span]
	ipv6        field[bool]
	untracked   field[bool]

	// rule is what resolve made of it; resolved: there is one.
	rule     failover.KernelRule
	resolved bool
}

// fwmark is a mark of the packet filter; the bits of the mask count.
type fwmark struct{ mark, mask uint32 }

// span is a range with both ends.
type span struct{ first, last uint32 }

// What a rule does: the kernel's FR_ACT_*.
const (
	ruleTable       = 1
	ruleGoto        = 2
	ruleNop         = 3
	ruleBlackhole   = 6
	ruleUnreachable = 7
	ruleProhibit    = 8
)

// ruleActions are the names of those that take no value.
var ruleActions = map[uint8]string{
	ruleNop: "nop", ruleBlackhole: "blackhole", ruleUnreachable: "unreachable", ruleProhibit: "prohibit",
}

// transports are names of protocols over IP.
var transports = map[string]uint32{
	"icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "dccp": 33, "gre": 47, "esp": 50, "ah": 51, "ipv6-icmp": 58, "icmpv6": 58,
	"ospf": 89, "pim": 103, "vrrp": 112, "sctp": 132, "udplite": 136,
}

// firstInvented is the preference of the first rule that has none, as in keepalived; the next ones have lower ones.
const firstInvented = 16384

// maxUID is below the number that stands for nobody.
const maxUID = 1<<32 - 2

var (
	virtualRuleWords = newTable("virtual_rules", ruleRows(),
		unsupported[*kernelRule](refused, "only static entries have one", "track_group")).inEntries()
	staticRuleWords = newTable("static_rules", ruleRows(),
		unsupported[*kernelRule](refused, "a rule that vanishes is put back and costs no role", "track_group")).inEntries()
)

// ruleRows are the options of a rule.
func ruleRows() []row[*kernelRule] {
	var actions []row[*kernelRule]
	for _, n := range []uint8{ruleNop, ruleBlackhole, ruleUnreachable, ruleProhibit} {
		actions = append(actions, option(func(r *kernelRule) *field[uint8] { return &r.action },
			func(_ *decoder, c *cursor) (uint8, Token, bool) { return n, c.keyword, true }, ruleActions[n])...)
	}
	return slices.Concat(
		actions,
		option(func(r *kernelRule) *field[uint8] { return &r.action }, (*decoder).ruleType, "type"),
		option(func(r *kernelRule) *field[uint32] { return &r.table }, (*decoder).routingTable, "table", "lookup"),
		option(func(r *kernelRule) *field[uint32] { return &r.jump }, (*decoder).preference, "goto"),
		option(func(r *kernelRule) *field[uint32] { return &r.priority }, (*decoder).preference, "priority", "preference", "order"),
		option(func(r *kernelRule) *field[bool] { return &r.not }, present, "not"),
		option(func(r *kernelRule) *field[netip.Prefix] { return &r.from }, (*decoder).ruleNetwork, "from"),
		option(func(r *kernelRule) *field[netip.Prefix] { return &r.to }, (*decoder).ruleNetwork, "to"),
		option(func(r *kernelRule) *field[string] { return &r.in }, (*decoder).device, "iif", "dev"),
		option(func(r *kernelRule) *field[string] { return &r.out }, (*decoder).device, "oif"),
		option(func(r *kernelRule) *field[uint8] { return &r.tos }, (*decoder).serviceType, "tos", "dsfield"),
		option(func(r *kernelRule) *field[fwmark] { return &r.mark }, (*decoder).fwmark, "fwmark"),
		option(func(r *kernelRule) *field[uint8] { return &r.suppress }, func(d *decoder, c *cursor) (uint8, Token, bool) {
			return d.uint8(c, 0, 128)
		}, "suppress_prefixlength", "sup_pl"),
		option(func(r *kernelRule) *field[uint32] { return &r.ipProto }, func(d *decoder, c *cursor) (uint32, Token, bool) {
			return d.named(c, transports, 1, 255, "1 to 255 or a name like tcp")
		}, "ipproto"),
		option(func(r *kernelRule) *field[span] { return &r.sourcePorts }, (*decoder).ports, "sport"),
		option(func(r *kernelRule) *field[span] { return &r.destPorts }, (*decoder).ports, "dport"),
		option(func(r *kernelRule) *field[span] { return &r.users }, func(d *decoder, c *cursor) (span, Token, bool) {
			return d.span(c, 0, maxUID)
		}, "uidrange"),
		option(func(r *kernelRule) *field[bool] { return &r.untracked }, present, "no_track"),
		familyRows(func(r *kernelRule) *field[bool] { return &r.ipv6 }),
		all[*kernelRule](later, "", "", "l3mdev"),
		unsupported[*kernelRule](later, "", "realms", "sup_group", "suppress_ifgroup", "tunnel-id"),
		unsupported[*kernelRule](later, "failoverd marks the rules that it adds as its own", "protocol"),
	)
}

// kernelRules decodes a virtual_rules, or static_rules if static. Several blocks add up.
func (d *decoder) kernelRules(to *[]*kernelRule, static bool, c *cursor) {
	t := virtualRuleWords
	if static {
		t = staticRuleWords
	}
	d.eachEntry(d.body(c), t.name, func(c *cursor) {
		c.known = func(w Token) bool { return !w.Quoted && t.has(w.Text) }
		r := &kernelRule{at: c.words[0], what: t.name}
		mark := len(d.findings)
		for c.more() {
			statement(d, t, r, c)
		}
		r.ok = !d.wrong(mark)
		*to = append(*to, r)
	})
}

// ruleType returns the action that a word behind type stands for; unicast is to look up a table. The words are keywords,
// too.
func (d *decoder) ruleType(c *cursor) (uint8, Token, bool) {
	types := map[string]uint8{
		"unicast": ruleTable, "blackhole": ruleBlackhole, "unreachable": ruleUnreachable, "prohibit": ruleProhibit,
	}
	if c.more() {
		if n, ok := types[c.words[0].Text]; ok {
			return n, c.take(), true
		}
	}
	t, ok := d.next(c, "unicast, blackhole, unreachable or prohibit")
	if ok {
		d.suggestf(t, d.nearest(t.Text, slices.Sorted(maps.Keys(types))),
			"type %q: want unicast, blackhole, unreachable or prohibit", t.Text)
	}
	return 0, t, false
}

func (d *decoder) preference(c *cursor) (uint32, Token, bool) { return d.uint32(c, 1, 1<<32-1) }

// ruleNetwork returns the network that an address must be of; zero: any. To the kernel, host bits have no meaning.
func (d *decoder) ruleNetwork(c *cursor) (netip.Prefix, Token, bool) {
	t, ok := d.next(c, "a prefix")
	if !ok || slices.Contains(anywhere, t.Text) {
		return netip.Prefix{}, t, ok
	}
	p, ok := d.subnet(t, c.keyword.Text)
	if ok && p.Masked() != p {
		d.warnf(t, "%s %s: bits behind the prefix length are set; it means all of %s", c.keyword.Text, t.Text, p.Masked())
	}
	return p.Masked(), t, ok
}

// fwmark returns MARK[/MASK].
func (d *decoder) fwmark(c *cursor) (fwmark, Token, bool) {
	t, ok := d.next(c, "MARK or MARK/MASK")
	if !ok {
		return fwmark{}, t, false
	}
	const most = 1<<32 - 1
	markWord, maskWord, hasMask := strings.Cut(t.Text, "/")
	mark, isMark := parseNumber(markWord)
	mask, isMask := uint64(most), true
	if hasMask {
		mask, isMask = parseNumber(maskWord)
	}
	switch {
	case !isMark || !isMask || mark > most || mask > most:
		d.errorf(t, "fwmark %q: want MARK or MARK/MASK, each 0 to 0xffffffff", t.Text)
	case mask == 0:
		d.errorf(t, "fwmark %s: a mask of 0 matches everything; leave fwmark out", t.Text)
	case mark == 0 && !hasMask:
		// The kernel takes this for no mark at all.
		d.suggestf(t, "0/0xffffffff", "fwmark 0 matches everything without a mask")
	default:
		if mark&^mask != 0 {
			d.warnf(t, "fwmark %s: the mask leaves %s of the mark", t.Text, hexadecimal(uint32(mark&mask)))
		}
		return fwmark{uint32(mark & mask), uint32(mask)}, t, true
	}
	return fwmark{}, t, false
}

// ports returns a range of ports. The kernel takes none that ends with the last port.
func (d *decoder) ports(c *cursor) (span, Token, bool) { return d.span(c, 1, 65534) }

// span returns FIRST-LAST, or one number that is both.
func (d *decoder) span(c *cursor, lo, hi uint64) (span, Token, bool) {
	t, ok := d.next(c, "FIRST-LAST")
	if !ok {
		return span{}, t, false
	}
	a, b, isRange := strings.Cut(t.Text, "-")
	if !isRange {
		b = a
	}
	first, isFirst := parseNumber(a)
	last, isLast := parseNumber(b)
	switch {
	case !isFirst || !isLast:
		d.errorf(t, "%s %q: want FIRST-LAST, from %d to %d", c.keyword.Text, t.Text, lo, hi)
	case first < lo || last > hi:
		d.errorf(t, "%s %s: out of range (want %d to %d)", c.keyword.Text, t.Text, lo, hi)
	case first > last:
		d.suggestf(t, b+"-"+a, "%s %s: the first is above the last", c.keyword.Text, t.Text)
	default:
		return span{uint32(first), uint32(last)}, t, true
	}
	return span{}, t, false
}
