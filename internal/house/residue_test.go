package house

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	disabled = regexp.MustCompile(`(?m)^    - (\w+)`)
	nolint   = regexp.MustCompile(`//nolint:([\w,]+)`)
)

// A comment that silences a disabled linter is untrue.
func TestNolint_NamesLintersThatAreOn(t *testing.T) {
	t.Parallel()
	config, err := os.ReadFile(filepath.Join(root, ".golangci.yml"))
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(config), "  disable:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	var off []string
	for _, m := range disabled.FindAllStringSubmatch(list, -1) {
		off = append(off, m[1])
	}
	if !slices.Contains(off, "wrapcheck") {
		t.Fatalf("the linters that are off are %v", off)
	}
	for _, file := range goFiles(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range nolint.FindAllStringSubmatch(string(text), -1) {
			for linter := range strings.SplitSeq(m[1], ",") {
				if slices.Contains(off, linter) {
					t.Errorf("%s silences %s, which is off", file, linter)
				}
			}
		}
	}
}

// goFiles are all Go files, including tests.
func goFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	for folder := range packages(t) {
		found, err := filepath.Glob(filepath.Join(root, folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	return files
}
