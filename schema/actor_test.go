package schema_test

import (
	"testing"

	"github.com/holdfast/holdfast/schema"
)

func TestReservedActor_IsWhoActsForTheProduct(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"holdfast", " Holdfast", "retention", "temporal:ann", "step fit", "STEP:fit", "token:x", "service", "system"} {
		if !schema.ReservedActor(name) {
			t.Errorf("%q may be a person's", name)
		}
	}
	for _, name := range []string{"", "stephen", "ann", "systems", "a:b", "ann step"} {
		if schema.ReservedActor(name) {
			t.Errorf("%q may not be a person's", name)
		}
	}
}
