package realserver_test

import (
	"os"
	"testing"

	"github.com/vipkit/vipkit/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }
