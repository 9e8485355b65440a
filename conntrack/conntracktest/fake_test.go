package conntracktest_test

import (
	"testing"

	"github.com/vipkit/vipkit/conntrack/conntracktest"
)

func TestFakeContract(t *testing.T) {
	conntracktest.TestClient(t, func(*testing.T) conntracktest.Opened {
		f := new(conntracktest.Fake)
		return conntracktest.Opened{Client: f, Add: f.Add}
	})
}
