package house

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
)

// vocabulary are the names of events and frames.
func vocabulary() map[string]bool {
	names := map[string]bool{}
	for _, p := range slices.Concat(schema.Events, wire.ServerFrames) {
		names[string(p.Type)] = true
	}
	for _, f := range wire.ClientFrames {
		names[f.Type] = true
	}
	return names
}

// Whoever adds an event or a frame writes its name once: everything else uses the constant. Names of one word are also
// those of commands and columns, so they are not looked for.
func TestWire_NamesAreWrittenOnce(t *testing.T) {
	t.Parallel()
	names, written := vocabulary(), map[string][]string{}
	for folder, p := range packages(t) {
		for _, file := range p.files {
			at := path.Join(folder, file)
			parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, at), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(parsed, func(n ast.Node) bool {
				if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
					if name, err := strconv.Unquote(literal.Value); err == nil && names[name] {
						written[name] = append(written[name], at)
					}
				}
				return true
			})
		}
	}
	for name := range names {
		if strings.Contains(name, "_") && len(written[name]) != 1 {
			t.Errorf("%q is written in %v, want one place", name, written[name])
		}
	}
}

// The documents and the TypeScript types are made from the declarations: they have every event, every frame and every
// field, without any further list of them.
func TestWire_IsWholeInWhatIsMadeOfIt(t *testing.T) {
	t.Parallel()
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	var document struct {
		Components struct {
			Schemas map[string]struct {
				Properties map[string]json.RawMessage `json:"properties"`
			} `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal([]byte(read("web/asyncapi.json")), &document); err != nil {
		t.Fatal(err)
	}
	typescript := read("clients/typescript/src/generated.ts")
	for _, p := range slices.Concat(schema.Events, wire.ServerFrames) {
		name := reflect.TypeOf(p.Data).Name()
		is, ok := document.Components.Schemas[name]
		if !ok || !strings.Contains(typescript, name+": {") {
			t.Errorf("%s, the data of %s, is not in asyncapi.json or not in generated.ts", name, p.Type)
			continue
		}
		for _, field := range jsonFields(reflect.TypeOf(p.Data)) {
			if _, ok := is.Properties[field]; !ok {
				t.Errorf("asyncapi.json has no field %s of %s", field, name)
			}
		}
	}
	for name := range vocabulary() {
		if !strings.Contains(typescript, strconv.Quote(name)) {
			t.Errorf("generated.ts has no %q", name)
		}
	}
}

// jsonFields are the names of a struct's fields in JSON.
func jsonFields(of reflect.Type) (names []string) {
	for field := range of.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case field.Anonymous:
			names = append(names, jsonFields(field.Type)...)
		case name != "" && name != "-":
			names = append(names, name)
		}
	}
	return names
}
