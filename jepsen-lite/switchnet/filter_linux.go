package switchnet

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// filter is the packet filter of a bridge's namespace: a table of nf_tables with a set of pairs of ports, and a rule that drops a
// frame whose way from port to port is in the set. The kernel needs nf_tables for the family bridge (nft_meta and nft_lookup
// with it), as Debian's has; the tool nft is not used.
type filter struct{ *netlink }

// The names in the filter, which exists in the namespace of the bridge alone.
const (
	filterTable = "links"
	filterSet   = "cut"
	filterChain = "forward"
	filterSetID = 1
)

// What package unix has no names for, of linux/netfilter.h, netfilter_bridge.h and netfilter/nf_tables.h.
const (
	familyBridge  = 7
	hookForward   = 2
	verdictDrop   = 0
	register32    = 8 // the first of four bytes, where the first of sixteen, register 1, begins
	pairBytes     = 8
	elementsOfOne = 1000 // in one message, since the length of an attribute has 16 bits
)

// openFilter makes the filter of the calling thread's namespace; it drops nothing.
func openFilter() (*filter, error) {
	n, err := openNetlink(unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("a socket to the packet filter: %w", err)
	}
	f := &filter{n}
	table := f.change(unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE)
	table.text(unix.NFTA_TABLE_NAME, filterTable)
	set := f.change(unix.NFT_MSG_NEWSET, unix.NLM_F_CREATE)
	set.text(unix.NFTA_SET_TABLE, filterTable)
	set.text(unix.NFTA_SET_NAME, filterSet)
	set.network(unix.NFTA_SET_FLAGS, 0)
	set.network(unix.NFTA_SET_KEY_LEN, pairBytes)
	set.network(unix.NFTA_SET_ID, filterSetID)
	chain := f.change(unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE)
	chain.text(unix.NFTA_CHAIN_TABLE, filterTable)
	chain.text(unix.NFTA_CHAIN_NAME, filterChain)
	chain.nest(unix.NFTA_CHAIN_HOOK, func() {
		chain.network(unix.NFTA_HOOK_HOOKNUM, hookForward)
		chain.network(unix.NFTA_HOOK_PRIORITY, 0)
	})
	chain.text(unix.NFTA_CHAIN_TYPE, "filter")
	if err := f.commit(table, set, chain, f.rule()); err != nil {
		_ = f.close()
		return nil, fmt.Errorf("a table for frames between the ports of a bridge: %w", err)
	}
	return f, nil
}

// rule drops what is on a way that the set has.
func (f *filter) rule() *message {
	m := f.change(unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_APPEND)
	m.text(unix.NFTA_RULE_TABLE, filterTable)
	m.text(unix.NFTA_RULE_CHAIN, filterChain)
	expression := func(name string, data func()) {
		m.nest(unix.NFTA_LIST_ELEM, func() {
			m.text(unix.NFTA_EXPR_NAME, name)
			m.nest(unix.NFTA_EXPR_DATA, data)
		})
	}
	m.nest(unix.NFTA_RULE_EXPRESSIONS, func() {
		for i, key := range []uint32{unix.NFT_META_IIF, unix.NFT_META_OIF} {
			expression("meta", func() {
				m.network(unix.NFTA_META_DREG, register32+uint32(i))
				m.network(unix.NFTA_META_KEY, key)
			})
		}
		expression("lookup", func() {
			m.text(unix.NFTA_LOOKUP_SET, filterSet)
			m.network(unix.NFTA_LOOKUP_SREG, unix.NFT_REG_1)
			m.network(unix.NFTA_LOOKUP_SET_ID, filterSetID)
		})
		expression("immediate", func() {
			m.network(unix.NFTA_IMMEDIATE_DREG, unix.NFT_REG_VERDICT)
			m.nest(unix.NFTA_IMMEDIATE_DATA, func() {
				m.nest(unix.NFTA_DATA_VERDICT, func() { m.network(unix.NFTA_VERDICT_CODE, verdictDrop) })
			})
		})
	})
	return m
}

// set has these ways, and no others, carry nothing from now on: pairs of the numbers of ports, from and to. The kernel takes it
// as one change.
func (f *filter) set(cut [][2]uint32) error {
	elements := func(kind uint16, flags uint16) *message {
		m := f.change(kind, flags)
		m.text(unix.NFTA_SET_ELEM_LIST_TABLE, filterTable)
		m.text(unix.NFTA_SET_ELEM_LIST_SET, filterSet)
		return m
	}
	list := []*message{elements(unix.NFT_MSG_DELSETELEM, 0)} // all
	for len(cut) > 0 {
		n := min(len(cut), elementsOfOne)
		m := elements(unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE)
		m.nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS, func() {
			for _, way := range cut[:n] {
				key := binary.NativeEndian.AppendUint32(binary.NativeEndian.AppendUint32(nil, way[0]), way[1])
				m.nest(unix.NFTA_LIST_ELEM, func() {
					m.nest(unix.NFTA_SET_ELEM_KEY, func() { m.data(unix.NFTA_DATA_VALUE, key) })
				})
			}
		})
		list, cut = append(list, m), cut[n:]
	}
	return f.commit(list...)
}

// change begins a message of a change.
func (f *filter) change(kind, flags uint16) *message {
	return f.begin(unix.NFNL_SUBSYS_NFTABLES<<8|kind, flags|unix.NLM_F_ACK, []byte{familyBridge, unix.NFNETLINK_V0, 0, 0})
}

// commit has the kernel make changes, all of them or none.
func (f *filter) commit(changes ...*message) error {
	frame := func(kind uint16) *message {
		return f.begin(kind, 0, []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, unix.NFNL_SUBSYS_NFTABLES})
	}
	last := changes[len(changes)-1].seq
	all := append([]*message{frame(unix.NFNL_MSG_BATCH_BEGIN)}, changes...)
	return f.send(last, append(all, frame(unix.NFNL_MSG_BATCH_END))...)
}
