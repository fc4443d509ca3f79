package settings

import (
	"log/slog"
	"slices"
	"strings"
)

// Misspelt is a variable that looks like a setting but is not one.
type Misspelt struct {
	Name string `json:"name"`
	Like string `json:"like,omitempty"` // the setting that may be meant
}

// String is a line for people.
func (m Misspelt) String() string {
	if m.Like == "" {
		return m.Name + " is not a setting, and does nothing"
	}
	return m.Name + " is not a setting, and does nothing; is " + m.Like + " meant?"
}

// others are variables with our prefix that are not settings: for clients, for steps, and for builds and deployments.
var others = []string{
	"HOLDFAST_TOKEN", "HOLDFAST_SESSION_ID", "HOLDFAST_RUN_ID", "HOLDFAST_STEP_ID", "HOLDFAST_ATTEMPT", "HOLDFAST_SOCKET",
	"HOLDFAST_MESSAGE", "HOLDFAST_FEEDBACK", "HOLDFAST_VERSION", "HOLDFAST_BIN", "HOLDFAST_BENCH_BIN", "HOLDFAST_BENCH_SUPERVISOR",
}

// Unknown lists the variables that look like settings but are not. Inside a step no person sets variables, so it lists
// none.
func Unknown(env Env) []Misspelt {
	if env.Get("HOLDFAST_SOCKET") != "" {
		return nil
	}
	var known []string
	for _, s := range All(env) {
		known = append(known, s.Name)
	}
	var out []Misspelt
	for _, entry := range env.list {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, "HOLDFAST_") || value == "" || strings.HasPrefix(name, "HOLDFAST_TEST_") ||
			slices.Contains(known, name) || slices.Contains(others, name) {
			continue
		}
		m := Misspelt{Name: name, Like: nearest(name, known)}
		if !slices.Contains(out, m) {
			out = append(out, m)
		}
	}
	return out
}

// WarnUnknown logs each variable that looks like a setting but is not one.
func WarnUnknown(env Env, log *slog.Logger) {
	for _, m := range Unknown(env) {
		log.Warn("unknown setting", "name", m.Name, "meant", m.Like)
	}
}

// nearest is the name that needs the fewest changes, if they are few.
func nearest(name string, known []string) string {
	best, fewest := "", 4
	for _, k := range known {
		if n := distance(strings.ReplaceAll(name, "_", ""), strings.ReplaceAll(k, "_", "")); n < fewest {
			best, fewest = k, n
		}
	}
	return best
}

// distance is how many letters must be inserted, deleted or replaced to turn a into b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0]++
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}
