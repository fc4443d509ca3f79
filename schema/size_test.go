package schema_test

import (
	"math"
	"testing"

	"github.com/holdfast/holdfast/schema"
)

func TestSize_IsForPeople(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{
		0: "0 bytes", 1023: "1023 bytes", 1024: "1 KiB", 1536: "1.5 KiB", 322801664: "308 MiB", 10 << 30: "10 GiB",
		1<<20 - 1: "1 MiB", 1 << 40: "1 TiB", math.MaxInt64: "8 EiB",
	} {
		if got := schema.Size(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

func TestSizes_AreToldApart(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		got, most int64
		want      [2]string
	}{
		{2 << 20, 1 << 20, [2]string{"2 MiB", "1 MiB"}},
		{1<<20 + 4096, 1 << 20, [2]string{"1052672 bytes", "1048576 bytes"}},
		{1 << 20, 1 << 20, [2]string{"1 MiB", "1 MiB"}},
	} {
		if got, most := schema.Sizes(c.got, c.most); [2]string{got, most} != c.want {
			t.Errorf("%d and %d: %q and %q, want %q", c.got, c.most, got, most, c.want)
		}
	}
}
