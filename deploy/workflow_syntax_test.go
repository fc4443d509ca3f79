package deploy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A workflow is replayed: it must do the same each time. workflowcheck follows a workflow
// function's direct calls and finds clocks, chance, goroutines, channels and maps there; it
// does not see what is reached by a function value, a method value or an interface, and State
// is reached so. .golangci.yml keeps the packages and the names away; what is plain syntax is
// looked for here, in all of workflows/.
func TestWorkflows_HaveNoSyntaxThatAReplayCouldDoOtherwise(t *testing.T) {
	t.Parallel()
	fset, files, info := loadPackage(t, "./workflows")
	for _, problem := range nonDeterministicSyntax(fset, files, info) {
		t.Error(problem)
	}
}

// Each line of the sample that ends in a comment "want: …" is reported so, and no other is.
func TestWorkflowSyntax_EachForbiddenConstructIsReported(t *testing.T) {
	t.Parallel()
	const sample = "testdata/workflow_syntax.go.txt"
	text, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, sample, text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}}
	if _, err := (&types.Config{}).Check("sample", fset, []*ast.File{file}, info); err != nil {
		t.Fatal(err)
	}
	var want []string
	marked := regexp.MustCompile(`// want: (.*)$`)
	for i, line := range strings.Split(string(text), "\n") {
		if m := marked.FindStringSubmatch(line); m != nil {
			want = append(want, fmt.Sprintf("%s:%d: %s", sample, i+1, m[1]))
		}
	}
	got := nonDeterministicSyntax(fset, []*ast.File{file}, info)
	for i, line := range got {
		got[i], _, _ = strings.Cut(line, ";")
	}
	if !slices.Equal(got, want) {
		t.Errorf("reported\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// nonDeterministicSyntax lists what is forbidden, one line each, in the order of the text.
func nonDeterministicSyntax(fset *token.FileSet, files []*ast.File, info *types.Info) []string {
	var found []string
	add := func(n ast.Node, what string) {
		p := fset.Position(n.Pos())
		found = append(found, fmt.Sprintf("%s:%d: %s", p.Filename, p.Line, what))
	}
	const channel = "a native channel; a workflow has workflow.NewChannel"
	const outside = "state outside of the workflow; a workflow has its State"
	for _, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				add(n, "a goroutine; a workflow has workflow.Go")
			case *ast.SelectStmt:
				add(n, "a native select; a workflow has workflow.NewSelector")
			case *ast.ChanType, *ast.SendStmt:
				add(n, channel)
			case *ast.UnaryExpr:
				if n.Op == token.ARROW {
					add(n, channel)
				}
			case *ast.CallExpr:
				if name, ok := n.Fun.(*ast.Ident); ok && info.Uses[name] == types.Universe.Lookup("close") {
					add(n, channel)
				}
			case *ast.AssignStmt:
				for _, to := range n.Lhs {
					if global(to, info) {
						add(n, outside)
					}
				}
			case *ast.IncDecStmt:
				if global(n.X, info) {
					add(n, outside)
				}
			case *ast.RangeStmt:
				switch core(info.TypeOf(n.X)).(type) {
				case *types.Map:
					add(n, "the order of a map; a workflow has workflow.DeterministicKeys")
				case *types.Chan:
					add(n, channel)
				}
			}
			return true
		})
	}
	return found
}

// global reports whether an assignment to the expression changes a variable of a package.
func global(to ast.Expr, info *types.Info) bool {
	for {
		switch e := to.(type) {
		case *ast.Ident:
			v, ok := info.Uses[e].(*types.Var)
			return ok && v.Parent() == v.Pkg().Scope()
		case *ast.SelectorExpr:
			if v, ok := info.Uses[e.Sel].(*types.Var); ok && !v.IsField() {
				return true // of another package
			}
			to = e.X
		case *ast.IndexExpr:
			to = e.X
		case *ast.StarExpr:
			to = e.X
		case *ast.ParenExpr:
			to = e.X
		default:
			return false
		}
	}
}

// core is what ranging over a type means, also where the type is a parameter.
func core(t types.Type) types.Type {
	if t == nil {
		return nil
	}
	union, ok := t.Underlying().(*types.Interface)
	if !ok || union.NumEmbeddeds() == 0 {
		return t.Underlying()
	}
	switch e := union.EmbeddedType(0).(type) {
	case *types.Union:
		return e.Term(0).Type().Underlying()
	default:
		return e.Underlying()
	}
}

// loadPackage parses and checks a package of this module without its tests, by what the
// compiler has left in its cache of those that it imports.
func loadPackage(t *testing.T, pattern string) (*token.FileSet, []*ast.File, *types.Info) {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-export", "-deps", "-json=ImportPath,Dir,GoFiles,Export,DepOnly", pattern)
	list.Dir = root
	list.Env = append(os.Environ(), "CGO_ENABLED=0") // what the build has compiled is there
	var stderr bytes.Buffer
	list.Stderr = &stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	type pkg struct {
		ImportPath string   `json:"ImportPath"`
		Dir        string   `json:"Dir"`
		Export     string   `json:"Export"`
		GoFiles    []string `json:"GoFiles"`
		DepOnly    bool     `json:"DepOnly"`
	}
	export := map[string]string{}
	var self pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		export[p.ImportPath] = p.Export
		if !p.DepOnly {
			self = p
		}
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range self.GoFiles {
		file, err := parser.ParseFile(fset, filepath.Join(self.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	if len(files) < 5 {
		t.Fatalf("%d files in %s", len(files), pattern)
	}
	lookup := func(path string) (io.ReadCloser, error) { return os.Open(export[path]) }
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}}
	config := &types.Config{Importer: importer.ForCompiler(fset, "gc", lookup)}
	if _, err := config.Check(self.ImportPath, fset, files, info); err != nil {
		t.Fatal(err)
	}
	return fset, files, info
}
