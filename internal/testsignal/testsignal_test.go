package testsignal_test

import (
	"testing"

	"github.com/holdfast/holdfast/internal/testkit"
	"github.com/holdfast/holdfast/internal/testsignal"
)

func TestSignal_IsHeardOnlyByATest(t *testing.T) {
	t.Parallel()
	var s testsignal.Signal
	s.Signal()
	s.Init()
	for range 1000 {
		s.Signal() // never blocks
	}
	for range 100 {
		testkit.Receive(t, "a signal", s.C())
	}
	select {
	case <-s.C():
		t.Error("more were kept than a test can want")
	default:
	}
}

func TestSignal_CostsNothingInProduction(t *testing.T) { // alone: it counts what the process allocates
	var s testsignal.Signal
	if n := testing.AllocsPerRun(100, s.Signal); n != 0 {
		t.Errorf("%f allocations", n)
	}
}
