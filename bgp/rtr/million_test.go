package rtr

import (
	"encoding/binary"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"failoverd/bgp"
)

// million is a transfer of a million VRPs, two of which are about us.
func million(c *cache) []byte {
	pdu := c.response()
	pdu.Version = 1
	b := pdu.Append(make([]byte, 0, 21<<20))
	add := func(v bgp.VRP) {
		p := prefixPDU(v, true)
		p.Version = 1
		b = p.Append(b)
	}
	add(roa4)
	for i := range uint32(1_000_000) {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], 0x01000000+i<<8)
		add(bgp.VRP{Prefix: netip.PrefixFrom(netip.AddrFrom4(a), 24), MaxLength: 24, AS: 64500 + i%1000})
	}
	add(roa6)
	end := c.end(1)
	end.Version = 1
	return end.Append(b)
}

// TestMillionRecords: the memory that a full table takes does not depend on its size.
func TestMillionRecords(t *testing.T) {
	c := newCache(t)
	b := million(c)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	begin := time.Now()
	for rest := b; len(rest) > 0; {
		n := min(64<<10, len(rest))
		c.s.Receive(c.now, rest[:n])
		rest = rest[n:]
	}
	took := time.Since(begin)
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(b)
	c.has(roa4, roa6)
	grown := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	t.Logf("1 000 002 records (%d octets) in %v; the heap grew by %d octets, %d allocated on the way", len(b), took, grown, after.TotalAlloc-before.TotalAlloc)
	if grown > 1<<20 {
		t.Errorf("the heap grew by %d octets", grown)
	}
	if st := c.s.Status(); st.Records != 1_000_002 || st.Kept != 2 {
		t.Errorf("status %+v", st)
	}
}
