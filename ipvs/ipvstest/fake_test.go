package ipvstest_test

import (
	"os"
	"testing"

	"github.com/vipkit/vipkit/internal/testenv"
	"github.com/vipkit/vipkit/ipvs"
	"github.com/vipkit/vipkit/ipvs/ipvstest"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

func TestFake(t *testing.T) {
	ipvstest.TestClient(t, func(*testing.T) ipvs.Client { return new(ipvstest.Fake) })
}
