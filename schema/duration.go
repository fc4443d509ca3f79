package schema

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// ParseDuration reads a duration as [time.ParseDuration] does, and also days (d) and weeks (w): 3d, 1w2d, 1.5d, 36h. A
// day is 24 hours. Plans, configs, settings and flags all use it.
func ParseDuration(s string) (time.Duration, error) {
	if !strings.ContainsAny(s, "dw") {
		return time.ParseDuration(s)
	}
	rest, sign := s, ""
	if strings.HasPrefix(rest, "-") || strings.HasPrefix(rest, "+") {
		sign, rest = rest[:1], rest[1:]
	}
	var sum time.Duration
	for rest != "" {
		number := len(rest) - len(strings.TrimLeft(rest, "0123456789."))
		unit := len(rest[number:]) - len(strings.TrimLeft(rest[number:], "abcdefghijklmnopqrstuvwxyzµμ"))
		part, hours := rest[:number+unit], int64(1)
		if number == 0 || unit == 0 {
			return 0, badDuration(s)
		}
		switch rest[number:][:unit] {
		case "d":
			part, hours = rest[:number]+"h", 24
		case "w":
			part, hours = rest[:number]+"h", 7*24
		}
		d, err := time.ParseDuration(part)
		if err != nil || int64(d) > math.MaxInt64/hours || int64(sum) > math.MaxInt64-int64(d)*hours {
			return 0, badDuration(s)
		}
		sum += time.Duration(int64(d) * hours)
		rest = rest[number+unit:]
	}
	if sign == "-" {
		sum = -sum
	}
	return sum, nil
}

func badDuration(s string) error {
	return fmt.Errorf("%q is not a duration such as 90s, 30m, 2h or 3d", s)
}
