package schema_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast/holdfast/schema"
)

func TestParseDuration_TakesDaysAndWeeks(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"3d": 3 * day, "1w": 7 * day, "1w2d3h": 9*day + 3*time.Hour, "1.5d": 36 * time.Hour, "-2d": -2 * day, "+1d": day, "0d": 0,
		"90s": 90 * time.Second, "1h30m": 90 * time.Minute, "1d500ms": day + 500*time.Millisecond, "0": 0,
	} {
		if got, err := schema.ParseDuration(text); err != nil || got != want {
			t.Errorf("%q is %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "3", "3 d", "d3", "3dd", "1w-2d", "3x", "1.2.3d", "200000000000d", "15250w1d1d1d1d1d1d1d1d", "99999999999999999999d", "1d ", "tomorrow", "1day"} {
		if got, err := schema.ParseDuration(text); err == nil {
			t.Errorf("%q is %v, want an error", text, got)
		}
	}
}

func TestParseDuration_IsThatOfGoWhereGoHasOne(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := time.Duration(rapid.Int64().Draw(t, "nanoseconds"))
		if got, err := schema.ParseDuration(want.String()); err != nil || got != want {
			t.Fatalf("%s is %v, %v", want, got, err)
		}
	})
}
