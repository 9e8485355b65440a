package ipsettest_test

import (
	"testing"

	"github.com/vipkit/vipkit/ipset"
	"github.com/vipkit/vipkit/ipset/ipsettest"
)

func TestFakeContract(t *testing.T) {
	ipsettest.TestClient(t, func(*testing.T) ipset.Client { return new(ipsettest.Fake) })
}
