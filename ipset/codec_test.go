package ipset

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit"
	"github.com/vipkit/vipkit/internal/nl"
)

func addEntries(s Set, entries ...Entry) []Change {
	changes := make([]Change, len(entries))
	for i, e := range entries {
		changes[i] = Change{Op: AddEntry, Set: Set{Name: s.Name, Type: s.Type, Family: s.Family}, Entry: e}
	}
	return changes
}

// encoded returns entries as the kernel lists them.
func encoded(s Set, entries ...Entry) []byte {
	var b nl.Batch
	begin(&b, cmdList, 0, maxProtocol, s.Name)
	b.String(attrTypename, string(s.Type))
	b.U8(attrFamily, nfFamily(s.Family))
	data := b.Nest(attrData)
	b.Be32(dataHashsize|netOrder, s.HashSize)
	b.Be32(dataMaxelem|netOrder, s.MaxElem)
	appendTimeout(&b, s.Timeout)
	b.Be32(dataFlags|netOrder, flagComment|flagSkbinfo)
	b.EndNest(data)
	adt := b.Nest(attrADT)
	var l layout
	l.init(s.Type, s.Family)
	for _, c := range addEntries(s, entries...) {
		l.append(&b, &c, 0)
	}
	b.EndNest(adt)
	b.End()
	return b.Message(0)
}

// decoded returns what a message of a dump says.
func decoded(data []byte) (s Set, entries []Entry, err error) {
	h, err := decodeHeader(data)
	if err != nil {
		return Set{}, nil, err
	}
	if _, known := h.set.Type.parts(); !known {
		return h.set, nil, nil
	}
	_, err = decodeEntries(&h.set, h.adt, func(e *CountedEntry) bool {
		entries = append(entries, e.Entry)
		return true
	})
	return h.set, entries, err
}

func TestDecode(t *testing.T) {
	data := encoded(v4Set, web, web)
	s, entries, err := decoded(data)
	require.NoError(t, err)
	require.Equal(t, v4Set, s)
	require.Equal(t, []Entry{web, web}, entries)
	for n := range data {
		_, some, err := decoded(data[:n])
		if err == nil {
			require.Empty(t, some, "a cut between attributes of the message: %d", n)
		}
	}
	other := v4Set
	other.Family = vipkit.IPv6
	h, err := decodeHeader(data)
	require.NoError(t, err)
	_, err = decodeEntries(&other, h.adt, func(*CountedEntry) bool { return true })
	require.ErrorIs(t, err, errMalformed)
}

func TestEncodeAllocatesNothing(t *testing.T) {
	var b nl.Batch
	set := Set{Name: "s", Type: HashIPPort, Family: vipkit.IPv4}
	c := Change{Op: AddEntry, Set: set, Entry: web}
	d := Change{Op: DeleteEntry, Set: set, Entry: web}
	var l layout
	run := func() {
		b.Reset()
		l.init(set.Type, set.Family)
		begin(&b, cmdAdd, 0, 7, "s")
		for i := range 100 {
			if c.Validate() != nil || d.Validate() != nil {
				t.Fatal("invalid")
			}
			l.append(&b, &c, uint32(i))
		}
		b.End()
	}
	run()
	require.Zero(t, testing.AllocsPerRun(10, run))
}

// TestLayoutValidates shows that what lays a key out refuses what Validate does.
func TestLayoutValidates(t *testing.T) {
	var nets []netip.Prefix
	for _, s := range []string{
		"10.0.0.1/32", "10.0.0.0/8", "10.0.0.1/8", "0.0.0.0/0", "0.0.0.0/32", "0.0.0.0/1", "128.0.0.0/1", "fd00::1/128", "fd00::/64", "fd00::1/64", "fd00::/65", "fd00::1/127",
		"fd00:0:0:1::/64", "fd00:0:0:1::/63", "fd00::/8", "::/0", "::/128", "::/1", "8000::/1", "::ffff:10.0.0.1/128",
	} {
		nets = append(nets, netip.MustParsePrefix(s))
	}
	nets = append(nets, netip.Prefix{}, netip.PrefixFrom(netip.MustParseAddr("10.0.0.1"), 33))
	var l layout
	valid := 0
	for _, typ := range []Type{HashIP, HashNet, HashIPPort, HashIPPortIP, HashIPPortNet, BitmapPort} {
		for _, f := range []vipkit.Family{vipkit.IPv4, vipkit.IPv6} {
			l.init(typ, f)
			for _, n := range nets {
				for _, n2 := range nets {
					for _, protocol := range []vipkit.Protocol{0, 1, vipkit.TCP, vipkit.SCTP} {
						for _, port := range []uint16{0, 80} {
							k := EntryKey{Net: n, Net2: n2, Protocol: protocol, Port: port}
							err := k.Validate(typ, f)
							require.Equal(t, err == nil, l.put(&k, 1), "%v %v", k, err)
							if err == nil {
								valid++
							}
						}
					}
				}
			}
		}
	}
	require.Greater(t, valid, 50)
}

// TestDecodeMany shows that an entry is read the same whatever was read before it.
func TestDecodeMany(t *testing.T) {
	v4 := []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("255.1.2.3")}
	v6 := []netip.Addr{netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd00::2"), netip.MustParseAddr("::ffff:10.0.0.1")}
	cidrs := []int{-1, 0, 8, 32, 33, 128, 129}
	for _, typ := range []Type{HashIP, HashNet, HashIPPort, HashIPPortIP, HashIPPortNet, BitmapPort} {
		for family, addrs := range map[vipkit.Family][]netip.Addr{vipkit.IPv4: v4, vipkit.IPv6: v6} {
			s := Set{Type: typ, Family: family}
			p, _ := typ.parts()
			random := rand.New(rand.NewPCG(1, uint64(family)))
			var b nl.Batch
			one := func() []byte {
				b.Reset()
				b.Begin(0, 0)
				ip := func(attr, cidr uint16, net bool) {
					at := b.Nest(attr)
					a := addrs[random.IntN(len(addrs))]
					b.Addr(map[bool]uint16{true: ipv4, false: ipv6}[a.Is4()]|netOrder, a)
					b.EndNest(at)
					if bits := cidrs[random.IntN(len(cidrs))]; bits >= 0 && net {
						b.U8(cidr, uint8(bits))
					}
				}
				if random.IntN(20) == 0 {
					b.Be32(dataFlags|netOrder, flagNoMatch)
				}
				if p.addr || p.net {
					ip(dataIP, dataCIDR, p.net)
				}
				if p.port || p.proto || random.IntN(20) == 0 {
					b.Be16(dataPort|netOrder, uint16(random.Uint32()))
				}
				if p.proto {
					b.U8(dataProto, uint8(random.Uint32()))
				}
				if p.addr2 || p.net2 {
					ip(dataIP2, dataCIDR2, p.net2)
				}
				b.End()
				return b.Message(0)
			}
			var shape stencil
			var have CountedEntry
			taken := 0
			for range 3000 {
				data := one()
				var want CountedEntry
				ok := want.decode(&s, p, data)
				if shape.take(&have, data) {
					require.True(t, ok, "% x", data)
					taken++
				} else if have = (CountedEntry{}); ok {
					have = want
					shape.learn(&s, data)
				}
				if ok {
					require.Equal(t, want, have, "% x", data)
				} else {
					shape = stencil{}
				}
			}
			require.Greater(t, taken, 100, "%v %v", typ, family)
		}
	}
}
