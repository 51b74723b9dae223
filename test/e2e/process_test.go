package e2e

import (
	"os"
	"testing"

	"github.com/roentgen-io/roentgen/test/process"
)

func TestMain(m *testing.M) { os.Exit(process.Main(m)) }
