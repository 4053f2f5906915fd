package kernel

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"

	"failoverd/failover"
)

// ruleEntry is a policy rule as the kernel describes it, in the normal form of ruleTarget.
type ruleEntry struct {
	failover.KernelRule
	proto uint8 // RTPROT_*
}

// ruleTarget returns r as the kernel would describe it: without what has no effect.
func ruleTarget(r failover.KernelRule) failover.KernelRule {
	r.Untracked = false
	r.From, r.To = rulePrefix(r.From), rulePrefix(r.To)
	if r.Action != unix.FR_ACT_TO_TBL {
		r.Table, r.SuppressPrefixLength = 0, 0
	}
	if r.Action != unix.FR_ACT_GOTO {
		r.Goto = 0
	}
	if r.Mask == 0 {
		r.Mark = 0
	}
	if !r.HasUID {
		r.UIDFirst, r.UIDLast = 0, 0
	}
	return r
}

// rulePrefix returns the prefix that the kernel keeps; it has none for "any".
func rulePrefix(p netip.Prefix) netip.Prefix {
	if p.Bits() <= 0 {
		return netip.Prefix{}
	}
	return p.Masked()
}

// describeRule returns the most of r in the words of iproute2.
func describeRule(r *failover.KernelRule) string {
	var b strings.Builder
	if r.IPv6 {
		b.WriteString("-6 ")
	}
	if r.Not {
		b.WriteString("not ")
	}
	from := "all"
	if r.From.IsValid() {
		from = r.From.String()
	}
	b.WriteString("from " + from)
	if r.To.IsValid() {
		b.WriteString(" to " + r.To.String())
	}
	if r.InInterface != "" {
		b.WriteString(" iif " + r.InInterface)
	}
	if r.OutInterface != "" {
		b.WriteString(" oif " + r.OutInterface)
	}
	if r.Mask != 0 {
		fmt.Fprintf(&b, " fwmark %#x/%#x", r.Mark, r.Mask)
	}
	switch r.Action {
	case unix.FR_ACT_TO_TBL:
		fmt.Fprintf(&b, " table %d", r.Table)
	case unix.FR_ACT_GOTO:
		fmt.Fprintf(&b, " goto %d", r.Goto)
	default:
		fmt.Fprintf(&b, " action %d", r.Action)
	}
	fmt.Fprintf(&b, " preference %d", r.Priority)
	return b.String()
}

// compareRules orders rules as the kernel goes through them.
func compareRules(a, b failover.KernelRule) int {
	return cmp.Or(cmp.Compare(a.Priority, b.Priority), strings.Compare(fmt.Sprint(a), fmt.Sprint(b)))
}

// ruleReason says in words for people why a rule was not written.
func ruleReason(err error, r *failover.KernelRule) string {
	switch {
	case errors.Is(err, unix.EPERM):
		return "not permitted: CAP_NET_ADMIN is missing"
	case errors.Is(err, unix.EEXIST):
		return "somebody else has a rule that the kernel takes for the same one: it differs in not or goto only"
	case errors.Is(err, unix.EAFNOSUPPORT), errors.Is(err, unix.EOPNOTSUPP):
		return "kernel has no policy rules (" + err.Error() + ")"
	case errors.Is(err, unix.EINVAL) && r.Action == unix.FR_ACT_GOTO && r.Goto <= r.Priority:
		return "goto leads backwards"
	}
	return "kernel refuses it: " + err.Error()
}
