package ipsettest_test

import (
	"os"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/vipkit/vipkit/internal/testenv"
	"github.com/vipkit/vipkit/ipset"
	"github.com/vipkit/vipkit/ipset/ipsettest"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// referredFake lets the contract have a set referred to.
type referredFake struct {
	ipsettest.Fake
	set atomic.Value
}

func (f *referredFake) Refer(_ *testing.T, set string) { f.set.Store(set) }
func (f *referredFake) Unrefer(*testing.T)             { f.set.Store("") }

func TestFakeContract(t *testing.T) {
	ipsettest.TestClient(t, func(*testing.T) ipset.Client {
		f := new(referredFake)
		f.InUse = func(set string) bool { return f.set.Load() == set }
		return f
	})
}

func TestDump(t *testing.T) {
	const text = `create a hash:ip family inet hashsize 1024 maxelem 65536 timeout 0 counters comment skbinfo
add a 10.0.0.1 timeout 0 packets 5 bytes 6 comment "x y" skbmark 0x1/0xff skbprio 1:2 skbqueue 3
add a 10.0.0.2 timeout 0
create b bitmap:port range 1-9
add b 7
`
	var f ipsettest.Fake
	require.NoError(t, f.Load(text))
	require.Equal(t, text, f.Dump())
	require.Error(t, f.Load("destroy c"))
	require.Error(t, f.Load("nonsense"))
}
