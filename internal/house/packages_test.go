package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	root   = "../.."
	module = "github.com/holdfast/holdfast/"
)

// pkg is a package according to its files, without tests.
type pkg struct {
	name    string
	comment string
	where   string // the file with the comment
	files   []string
	imports map[string]bool // of this module, by folder
}

// packages reads every package of the module, by its folder.
func packages(t *testing.T) map[string]*pkg {
	t.Helper()
	all := map[string]*pkg{}
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); name == "node_modules" || name == "bin" || name == "testdata" || (strings.HasPrefix(name, ".") && file != root) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		folder, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			return err
		}
		p := all[folder]
		if p == nil {
			p = &pkg{name: parsed.Name.Name, imports: map[string]bool{}}
			all[folder] = p
		}
		p.add(filepath.Base(file), parsed)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Fatalf("only %d packages were found", len(all))
	}
	return all
}

func (p *pkg) add(file string, parsed *ast.File) {
	p.files = append(p.files, file)
	if parsed.Doc != nil && strings.HasPrefix(parsed.Doc.Text(), "Package ") || parsed.Doc != nil && strings.HasPrefix(parsed.Doc.Text(), "Command ") {
		p.comment, p.where = parsed.Doc.Text(), file
	}
	for _, i := range parsed.Imports {
		if name, err := strconv.Unquote(i.Path.Value); err == nil && strings.HasPrefix(name, module) {
			p.imports[strings.TrimPrefix(name, module)] = true
		}
	}
}

const importedBy = "Imported by"

// A package comment ends with what the package imports from this module, and what imports it, without tests.
func TestPackages_SayWhatTheyImportAndWhoImportsThem(t *testing.T) {
	t.Parallel()
	all := packages(t)
	importers := map[string]map[string]bool{}
	for folder, p := range all {
		for i := range p.imports {
			if importers[i] == nil {
				importers[i] = map[string]bool{}
			}
			importers[i][folder] = true
		}
	}
	for folder, p := range all {
		if p.name == "main" {
			continue
		}
		for _, line := range []string{listed("Imports", p.imports), listed(importedBy, importers[folder])} {
			if !slices.Contains(strings.Split(p.comment, "\n"), line) {
				t.Errorf("the comment of package %s lacks the line\n\t%s", folder, line)
			}
		}
	}
}

func listed(what string, folders map[string]bool) string {
	switch {
	case len(folders) == 0:
		return what + ": nothing of this module."
	case what == importedBy && len(folders) > 8:
		return what + ": most packages."
	}
	return what + ": " + strings.Join(slices.Sorted(maps.Keys(folders)), ", ") + "."
}

func TestPackages_HaveTheirCommentWhereOneLooksForIt(t *testing.T) {
	t.Parallel()
	for folder, p := range packages(t) {
		want := "doc.go"
		if p.name == "main" {
			want = "main.go"
		} else if len(p.files) == 1 {
			want = p.files[0]
		}
		if p.where != want {
			t.Errorf("package %s has its comment in %q, want %s", folder, p.where, want)
		}
	}
}

var fileLine = regexp.MustCompile(`(?m)^\s+- (\S+\.go)\b`)

// A comment that lists the package's files must list them all.
func TestPackages_ListAllOfTheirFiles(t *testing.T) {
	t.Parallel()
	for folder, p := range packages(t) {
		var told []string
		for _, m := range fileLine.FindAllStringSubmatch(p.comment, -1) {
			told = append(told, m[1])
		}
		if len(told) == 0 {
			continue
		}
		have := slices.DeleteFunc(slices.Clone(p.files), func(name string) bool { return name == "doc.go" })
		slices.Sort(told)
		slices.Sort(have)
		if !slices.Equal(told, have) {
			t.Errorf("the comment of package %s lists\n\t%v\nand there are\n\t%v", folder, told, have)
		}
	}
}

// floors has the packages from top to bottom: an import runs downwards, never up and never along a
// floor. A folder stands for all folders below it that have no row of their own.
var floors = [][]string{
	{"cmd/holdfast", "cmd/holdfast-supervisor", "bench", "e2e", "cmd/holdfast/cli/reference"},
	{"cmd/holdfast/cli"},
	{"cmd/holdfast/stack", "cmd/holdfast/settings", "examples", "web/gen", "telemetry/docs"},
	{"worker", "web", "web/ui", "clients/go"},
	{"activities", "cmd/holdfast/disk", "cmd/holdfast/terminal", "examples/packing", "web/api", "web/socket"},
	{"activities/runner", "workflows", "schema/store/storetest", "web/feed", "web/presence", "web/control", "web/health", "telemetry/journal"},
	{"activities/workspace", "activities/runner/supervisor", "schema/store", "embedded/embeddedtest"},
	{"activities/runner/network", "activities/runner/sandbox", "activities/runner/spool", "snapshot/clouds", "embedded", "web/frame", "web/problem"},
	{"snapshot", "schema/wire", "telemetry"},
	{"schema", "logs", "internal/filelock", "internal/testkit", "internal/testsignal", "internal/house", "internal/wait", "web/caller", "deploy", "telemetry/traceparent"},
}

func floorOf(folder string) int {
	for ; folder != "."; folder = path.Dir(folder) {
		for i, floor := range floors {
			if slices.Contains(floor, folder) {
				return i
			}
		}
	}
	return -1
}

func TestPackages_ImportDownwards(t *testing.T) {
	t.Parallel()
	for folder, p := range packages(t) {
		at := floorOf(folder)
		if at < 0 {
			t.Errorf("package %s stands on no floor", folder)
		}
		for i := range p.imports {
			if floorOf(i) <= at {
				t.Errorf("package %s (floor %d) imports %s (floor %d), which does not stand below it", folder, len(floors)-at, i, len(floors)-floorOf(i))
			}
		}
	}
}
