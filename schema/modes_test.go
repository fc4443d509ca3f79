package schema_test

import (
	"strings"
	"testing"

	"github.com/holdfast/holdfast/schema"
)

func TestModes_SayNothingAgainstWhatWorks(t *testing.T) {
	t.Parallel()
	for _, m := range schema.Modes() {
		if m.Available == (m.WhyNot != "") {
			t.Errorf("%s: available %v, and why not: %q", m.ID, m.Available, m.WhyNot)
		}
		if strings.Contains(m.WhyNot, "ask is not") {
			t.Errorf("%s: holdfast ask works, and this says %q", m.ID, m.WhyNot)
		}
	}
}
