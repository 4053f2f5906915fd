package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// muteRenewals makes the kernel keep the notifications of renewed leases to itself. Whoever holds a thousand addresses
// would otherwise be woken for each of them at every renewal, by each of four subscriptions, to learn nothing.
//
// What is dropped is RTM_NEWADDR with our tag, for an address with a finite lifetime that is in (no duplicate detection
// goes on or was asked for) and was changed after it was made (ifa_cacheinfo: tstamp is not cstamp). A renewal that puts
// back an address which somebody removed meanwhile makes it anew, and is told. A change within 10 ms, the unit of those
// stamps, is told as well.
func (s *socket) muteRenewals() error {
	raw, err := bpf.Assemble(renewals)
	if err != nil {
		return fmt.Errorf("assemble the filter of renewals: %w", err)
	}
	program := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		program[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	var failed error
	err = s.raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
			&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
	})
	if err = errors.Join(err, failed); err != nil {
		return fmt.Errorf("attach the filter of renewals: %w", err)
	}
	return nil
}

// Offsets in a notification on an address: struct nlmsghdr, struct ifaddrmsg, attributes.
const (
	offType      = 4
	offFamily    = unix.SizeofNlMsghdr
	offFlags     = unix.SizeofNlMsghdr + 2 // the lower eight IFA_F_*, which are all that matter here
	offAttribute = unix.SizeofNlMsghdr + unix.SizeofIfAddrmsg
	// In an attribute, from its head on.
	offValue   = unix.SizeofRtAttr
	offCreated = offValue + 8  // ifa_cacheinfo.cstamp
	offUpdated = offValue + 12 // ifa_cacheinfo.tstamp
)

// notIn are the flags of an address that is not in, or has no lifetime.
const notIn = unix.IFA_F_TENTATIVE | unix.IFA_F_OPTIMISTIC | unix.IFA_F_DADFAILED | unix.IFA_F_PERMANENT

// renewals is the filter: it returns 0 for what is dropped. Jumps go to the end, where all else is kept. A filter reads
// big-endian numbers, and netlink has those of the machine.
var renewals = []bpf.Instruction{
	bpf.LoadAbsolute{Off: offType, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: swapped(unix.RTM_NEWADDR), SkipTrue: 24},
	bpf.LoadAbsolute{Off: offFlags, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: notIn, SkipTrue: 22},
	// IPv6 detects duplicates unless it is told not to; IPv4 does not have it.
	bpf.LoadAbsolute{Off: offFamily, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AF_INET, SkipTrue: 2},
	bpf.LoadAbsolute{Off: offFlags, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: unix.IFA_F_NODAD, SkipTrue: 18},
	// IFA_PROTO is Protocol.
	bpf.LoadConstant{Dst: bpf.RegX, Val: ifaProto},
	bpf.LoadConstant{Dst: bpf.RegA, Val: offAttribute},
	bpf.LoadExtension{Num: bpf.ExtNetlinkAttr},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: 14},
	bpf.TAX{},
	bpf.LoadIndirect{Off: offValue, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: Protocol, SkipTrue: 11},
	// IFA_CACHEINFO says that it was changed.
	bpf.LoadConstant{Dst: bpf.RegX, Val: unix.IFA_CACHEINFO},
	bpf.LoadConstant{Dst: bpf.RegA, Val: offAttribute},
	bpf.LoadExtension{Num: bpf.ExtNetlinkAttr},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: 7},
	bpf.TAX{},
	bpf.LoadIndirect{Off: offCreated, Size: 4},
	bpf.StoreScratch{Src: bpf.RegA, N: 0},
	bpf.LoadIndirect{Off: offUpdated, Size: 4},
	bpf.LoadScratch{Dst: bpf.RegX, N: 0},
	bpf.JumpIfX{Cond: bpf.JumpEqual, SkipTrue: 1},
	bpf.RetConstant{Val: 0},
	bpf.RetConstant{Val: math.MaxUint32},
}

// swapped returns what a filter reads where the machine has written v.
func swapped(v uint16) uint32 {
	return uint32(binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, v)))
}
