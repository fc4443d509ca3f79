package house

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var importOf = regexp.MustCompile(`(?m)^(?:import|export)\b(?:[^'"]*?from)? ?['"](\.[^'"]+)['"]|\bimport\(['"](\.[^'"]+)['"]\)`)

// Types count: of two files that use each other's types, neither can be read first.
func TestUI_FilesMakeNoCircle(t *testing.T) {
	t.Parallel()
	for _, folder := range []string{"web/ui/src", "clients/typescript/src"} {
		imports := sources(t, filepath.Join(root, folder))
		if len(imports) < 5 {
			t.Fatalf("only %d files were found in %s", len(imports), folder)
		}
		var visit func(file string, above []string)
		done := map[string]bool{}
		visit = func(file string, above []string) {
			if i := slices.Index(above, file); i >= 0 {
				t.Errorf("a circle: %s", strings.Join(append(above[i:], file), " → "))
				return
			}
			if done[file] {
				return
			}
			for _, next := range imports[file] {
				visit(next, append(slices.Clone(above), file))
			}
			done[file] = true
		}
		for file := range imports {
			visit(file, nil)
		}
	}
}

// sources has the imports of each file in a folder.
func sources(t *testing.T, folder string) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	err := filepath.WalkDir(folder, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.Contains(filepath.Ext(file), ".ts") {
			return err
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		all[file] = nil
		for _, m := range importOf.FindAllStringSubmatch(string(text), -1) {
			target := filepath.Join(filepath.Dir(file), strings.TrimSuffix(m[1]+m[2], ".js"))
			for _, end := range []string{".ts", ".tsx", "/index.ts"} {
				if _, err := os.Stat(target + end); err == nil {
					all[file] = append(all[file], target+end)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
