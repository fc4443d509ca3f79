package schema

import (
	"fmt"
	"strings"
)

// Size is a number of bytes for people to read, in the units that settings are given in, as in "308 MiB".
func Size(n int64) string {
	const step = 1024
	if n < step {
		return fmt.Sprintf("%d bytes", n)
	}
	// What rounds to 1024 is 1 of the next unit.
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

// Sizes says how much there is and how much there may be: exactly where they would read the same otherwise.
func Sizes(got, most int64) (gotText, mostText string) {
	gotText, mostText = Size(got), Size(most)
	if gotText == mostText && got != most {
		return fmt.Sprintf("%d bytes", got), fmt.Sprintf("%d bytes", most)
	}
	return gotText, mostText
}
