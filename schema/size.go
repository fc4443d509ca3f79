package schema

import (
	"fmt"
	"strings"
)

// Size formats a number of bytes for people, in the units that settings use, as in "308 MiB".
func Size(n int64) string {
	const step = 1024
	if n < step {
		return fmt.Sprintf("%d bytes", n)
	}
	// A value that rounds to 1024 is 1 of the next unit.
	v, names := float64(n)/step, "KMGTPE"
	for v >= step-0.5 && len(names) > 1 {
		v, names = v/step, names[1:]
	}
	text := fmt.Sprintf("%.0f", v)
	if v < 9.95 {
		text = strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0")
	}
	return text + " " + names[:1] + "iB"
}

// Sizes formats an amount and its limit. It gives exact bytes where both would otherwise read the same.
func Sizes(got, most int64) (gotText, mostText string) {
	gotText, mostText = Size(got), Size(most)
	if gotText == mostText && got != most {
		return fmt.Sprintf("%d bytes", got), fmt.Sprintf("%d bytes", most)
	}
	return gotText, mostText
}
