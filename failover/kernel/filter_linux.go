package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	mdlayher "github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// filterTable is the name of the table, of family inet, and filterTable2 that of a process that takes the place of one which has
// the first: until that one has ended, both hold the same.
const (
	filterTable  = "failoverd"
	filterTable2 = "failoverd2"
)

// ownerFlag is NFT_TABLE_F_OWNER, Linux 5.12.
const ownerFlag = 2

// errForeignTable says that another living process has the table.
var errForeignTable = errors.New("table " + filterTable + " belongs to another process")

// filterBuffer holds a transaction with ten thousand addresses.
const filterBuffer = 2 << 20

// chunk is how many elements of a set go into one message, whose lists end at 64 KiB.
const chunk = 500

func (f *filter) table() *nftables.Table {
	return &nftables.Table{Name: f.name, Family: nftables.TableFamilyINet}
}

// open opens the socket, if it is not open, and makes an empty table instead of the one that a dead predecessor left.
func (f *filter) open() error {
	if f.conn != nil {
		return nil
	}
	var conn *nftables.Conn
	var raw *mdlayher.Conn
	err := f.ns.do(func() (err error) {
		conn, err = nftables.New(nftables.AsLasting(), nftables.WithSockOptions(func(c *mdlayher.Conn) error {
			raw = c
			// Beyond the system's limit where that is allowed; where not, what is refused is a very long list.
			_ = errors.Join(c.SetWriteBuffer(filterBuffer), c.SetReadBuffer(filterBuffer))
			return nil
		}))
		return err
	})
	if err != nil {
		return fmt.Errorf("open netfilter socket: %w", err)
	}
	f.conn, f.raw = conn, raw
	tables, err := conn.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		f.close()
		return fmt.Errorf("list tables: %w", err)
	}
	leftover := f.choose(tables)
	err = f.makeTable(leftover, f.flags)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) { // older kernels
		err = f.makeTable(leftover, 0)
	}
	if err != nil {
		f.close()
		if leftover && errors.Is(err, unix.EPERM) {
			err = errForeignTable
		}
		return fmt.Errorf("make table: %w", err)
	}
	return nil
}

// choose chooses the name of the table, and reports whether there is one already, which is a dead predecessor's then.
func (f *filter) choose(tables []*nftables.Table) (leftover bool) {
	there := func(name string) bool {
		return slices.ContainsFunc(tables, func(t *nftables.Table) bool { return t.Name == name })
	}
	f.name = filterTable
	switch {
	case f.beside && there(filterTable):
		f.name = filterTable2
	case !f.beside && there(filterTable2):
		// Kernels before 5.12 leave it behind. One that somebody owns refuses.
		f.conn.DelTable(&nftables.Table{Name: filterTable2, Family: nftables.TableFamilyINet})
		_ = f.conn.Flush()
	}
	return there(f.name)
}

// makeTable makes the table. The library knows of no owner flag, so this transaction is our own.
func (f *filter) makeTable(leftover bool, flags uint32) error {
	name := mdlayher.Attribute{Type: unix.NFTA_TABLE_NAME, Data: append([]byte(f.name), 0)}
	flag := mdlayher.Attribute{Type: unix.NFTA_TABLE_FLAGS, Data: binary.BigEndian.AppendUint32(nil, flags)}
	ms := []mdlayher.Message{batchMessage(unix.NFNL_MSG_BATCH_BEGIN)}
	if leftover {
		ms = append(ms, tableMessage(unix.NFT_MSG_DELTABLE, 0, name))
	}
	ms = append(ms, tableMessage(unix.NFT_MSG_NEWTABLE, mdlayher.Create|mdlayher.Excl, name, flag), batchMessage(unix.NFNL_MSG_BATCH_END))
	if _, err := f.raw.SendMessages(ms); err != nil {
		return err
	}
	for range len(ms) - 2 {
		if _, err := f.raw.Receive(); err != nil {
			return err
		}
	}
	return nil
}

// netfilterHeader is struct nfgenmsg.
func netfilterHeader(family uint8, resource uint16) []byte {
	return binary.BigEndian.AppendUint16([]byte{family, unix.NFNETLINK_V0}, resource)
}

func batchMessage(kind mdlayher.HeaderType) mdlayher.Message {
	return mdlayher.Message{
		Header: mdlayher.Header{Type: kind, Flags: mdlayher.Request},
		Data:   netfilterHeader(unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES),
	}
}

func tableMessage(kind mdlayher.HeaderType, flags mdlayher.HeaderFlags, attrs ...mdlayher.Attribute) mdlayher.Message {
	body, err := mdlayher.MarshalAttributes(attrs)
	if err != nil {
		panic(fmt.Sprintf("kernel: attributes of table %s: %v", filterTable, err)) // they are short
	}
	return mdlayher.Message{
		Header: mdlayher.Header{
			Type:  unix.NFNL_SUBSYS_NFTABLES<<8 | kind,
			Flags: mdlayher.Request | mdlayher.Acknowledge | flags,
		},
		Data: append(netfilterHeader(unix.NFPROTO_INET, 0), body...),
	}
}

// currentGeneration returns the number that every change of the host's packet filters increases.
func (f *filter) currentGeneration() (uint32, error) {
	ms, err := f.raw.Execute(mdlayher.Message{
		Header: mdlayher.Header{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETGEN, Flags: mdlayher.Request},
		Data:   netfilterHeader(unix.AF_UNSPEC, 0),
	})
	if err != nil {
		return 0, fmt.Errorf("ask for the generation: %w", err)
	}
	for _, m := range ms {
		if len(m.Data) < 4 {
			continue
		}
		for kind, v := range attributes(m.Data[4:]) {
			if kind == unix.NFTA_GEN_ID && len(v) >= 4 {
				return binary.BigEndian.Uint32(v), nil
			}
		}
	}
	return 0, errors.New("ask for the generation: no answer")
}

// filterSet is a set of the table with its elements.
type filterSet struct {
	*nftables.Set
	elements []nftables.SetElement
}

// filterSets returns the sets that c is made of. Their IDs matter within a transaction; the library would take them from
// a counter that nothing protects.
func filterSets(t *nftables.Table, c *filterContent) (four, six, scoped, devices, silent filterSet) {
	four = filterSet{Set: &nftables.Set{ID: 1, Table: t, Name: "addresses4", KeyType: nftables.TypeIPAddr}}
	six = filterSet{Set: &nftables.Set{ID: 2, Table: t, Name: "addresses6", KeyType: nftables.TypeIP6Addr}}
	scoped = filterSet{Set: &nftables.Set{
		ID: 3, Table: t, Name: "link_local", Concatenation: true,
		KeyType: nftables.MustConcatSetType(nftables.TypeIP6Addr, nftables.TypeIFName),
	}}
	devices = filterSet{Set: &nftables.Set{
		ID: 4, Table: t, Name: "devices", KeyType: nftables.TypeIFName, KeyByteOrder: binaryutil.NativeEndian, // for nft to print
	}}
	silent = silentSet(t, c.silent)
	for _, a := range c.addresses4 {
		four.elements = append(four.elements, nftables.SetElement{Key: a.AsSlice()})
	}
	for _, a := range c.addresses6 {
		six.elements = append(six.elements, nftables.SetElement{Key: a.AsSlice()})
	}
	for _, s := range c.scoped {
		scoped.elements = append(scoped.elements, nftables.SetElement{Key: append(s.addr.AsSlice(), ifname(s.iface)...)})
	}
	devices.elements = interfaceElements(c.devices)
	return four, six, scoped, devices, silent
}

func silentSet(t *nftables.Table, names []string) filterSet {
	return filterSet{
		Set: &nftables.Set{
			ID: 5, Table: t, Name: "silent", KeyType: nftables.TypeIFName, KeyByteOrder: binaryutil.NativeEndian,
		},
		elements: interfaceElements(names),
	}
}

func interfaceElements(names []string) (elements []nftables.SetElement) {
	for _, n := range names {
		elements = append(elements, nftables.SetElement{Key: ifname(n)})
	}
	return elements
}

// ifname returns an interface's name as the kernel compares it.
func ifname(name string) []byte {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, name)
	return b
}

// filterChains returns the chains.
func filterChains(t *nftables.Table) (early, input, output *nftables.Chain) {
	before := nftables.ChainPriorityRef(-1) // of the usual filters, as keepalived's
	early = &nftables.Chain{
		Table: t, Name: "prerouting", Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookPrerouting, Priority: before,
	}
	input = &nftables.Chain{
		Table: t, Name: "input", Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookInput, Priority: before,
	}
	output = &nftables.Chain{
		Table: t, Name: "output", Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookOutput, Priority: before,
	}
	return early, input, output
}

// fill replaces what the table holds in one transaction.
func (f *filter) fill(c *filterContent) error {
	t := f.table()
	four, six, scoped, devices, silent := filterSets(t, c)
	early, input, output := filterChains(t)
	f.conn.AddChain(early)
	f.conn.AddChain(input)
	f.conn.AddChain(output)
	for _, s := range []filterSet{four, six, scoped, devices, silent} {
		if err := f.conn.AddSet(s.Set, nil); err != nil {
			return err
		}
	}
	f.conn.FlushTable(t) // the rules only
	for _, s := range []filterSet{four, six, scoped, devices, silent} {
		f.conn.FlushSet(s.Set)
		for part := range slices.Chunk(s.elements, chunk) {
			if err := f.conn.SetAddElements(s.Set, part); err != nil {
				return err
			}
		}
	}
	for _, exprs := range deafRules(silent, c.counters) {
		f.conn.AddRule(&nftables.Rule{Table: t, Chain: early, Exprs: exprs})
	}
	for _, exprs := range inputRules(four, six, scoped, c.counters) {
		f.conn.AddRule(&nftables.Rule{Table: t, Chain: input, Exprs: exprs})
	}
	for _, exprs := range outputRules(devices, c.counters) {
		f.conn.AddRule(&nftables.Rule{Table: t, Chain: output, Exprs: exprs})
	}
	return f.conn.Flush()
}

// change makes interfaces of the table loud and silent.
func (f *filter) change(loud, silent []string) error {
	t := f.table()
	for _, do := range []struct {
		names []string
		verb  func(*nftables.Set, []nftables.SetElement) error
	}{{loud, f.conn.SetDeleteElements}, {silent, f.conn.SetAddElements}} {
		set := silentSet(t, do.names)
		for part := range slices.Chunk(set.elements, chunk) {
			if err := do.verb(set.Set, part); err != nil {
				return err
			}
		}
	}
	return f.conn.Flush()
}

// holds reports whether the table has as many rules and elements as it should: nobody changes a rule of somebody
// else's, but many remove them all.
func (f *filter) holds(c *filterContent) (bool, error) {
	t := f.table()
	four, six, scoped, devices, silent := filterSets(t, c)
	early, input, output := filterChains(t)
	for chain, want := range map[*nftables.Chain]int{
		early: len(deafRules(silent, false)),
		input: len(inputRules(four, six, scoped, false)), output: len(outputRules(devices, false)),
	} {
		rules, err := f.conn.GetRules(t, chain)
		switch {
		case errors.Is(err, unix.ENOENT):
			return false, nil
		case err != nil:
			return false, fmt.Errorf("list rules: %w", err)
		case len(rules) != want:
			return false, nil
		}
	}
	for _, s := range []filterSet{four, six, scoped, devices, silent} {
		elements, err := f.conn.GetSetElements(s.Set)
		switch {
		case errors.Is(err, unix.ENOENT):
			return false, nil
		case err != nil:
			return false, fmt.Errorf("list set %s: %w", s.Name, err)
		case len(elements) != len(s.elements):
			return false, nil
		}
	}
	return true, nil
}

// ruling ends a rule.
func ruling(kind expr.VerdictKind, counters bool) []expr.Any {
	v := []expr.Any{&expr.Verdict{Kind: kind}}
	if counters {
		v = append([]expr.Any{&expr.Counter{}}, v...)
	}
	return v
}
