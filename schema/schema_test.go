package schema_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast/holdfast/schema"
)

func TestNewID_IsARandomUUIDOfVersion4(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		id := schema.NewID()
		if !schema.ValidID(id) || id[14] != '4' || !strings.ContainsRune("89ab", rune(id[19])) || seen[id] {
			t.Fatalf("id %q", id)
		}
		seen[id] = true
	}
}

func TestDeriveID_IsAFunctionOfItsPartsAlone(t *testing.T) {
	t.Parallel()
	if a, b := schema.DeriveID("run", "x", "1"), schema.DeriveID("run", "x", "1"); a != b || !schema.ValidID(a) || a[14] != '8' {
		t.Fatalf("%q and %q", a, b)
	}
	if schema.DeriveID("a", "bc") == schema.DeriveID("ab", "c") {
		t.Fatal("parts run into each other")
	}
}

func TestValidID_RefusesOtherSpellings(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "x", strings.ToUpper("a" + schema.NewID()[1:]), schema.NewID() + "0", "../" + schema.NewID()[3:], strings.ReplaceAll(schema.NewID(), "-", "_")} {
		if schema.ValidID(bad) {
			t.Errorf("%q is taken for an id", bad)
		}
	}
}

func TestIDRange_HoldsWhatBeginsWithThePrefixAndNothingElse(t *testing.T) {
	t.Parallel()
	for range 200 {
		id := schema.NewID()
		for n := schema.MinIDPrefix; n <= len(id); n++ {
			first, last, ok := schema.IDRange(id[:n])
			if !ok || !schema.ValidID(first) || !schema.ValidID(last) || first > id || last < id || !strings.HasPrefix(first, id[:n]) || !strings.HasPrefix(last, id[:n]) {
				t.Fatalf("%q: %q to %q, %t", id[:n], first, last, ok)
			}
		}
	}
	for _, bad := range []string{"", "abc", "ABCD", "abcx", "aaaa11112", "aaaa111-", schema.NewID() + "0", "ÄÄ"} {
		if _, _, ok := schema.IDRange(bad); ok {
			t.Errorf("%q is taken for the beginning of an id", bad)
		}
	}
}

func TestTime_TravelsAsUTCWithMilliseconds(t *testing.T) {
	t.Parallel()
	at := schema.Time{Time: time.Date(2026, 7, 1, 12, 0, 0, 123_456_789, time.FixedZone("CEST", 7200))}
	if got := string(schema.Marshal(at)); got != `"2026-07-01T10:00:00.123Z"` {
		t.Fatalf("it travels as %s", got)
	}
	var back schema.Time
	if err := json.Unmarshal([]byte(`"2026-07-01T10:00:00.123Z"`), &back); err != nil || !back.Equal(at.Truncate(time.Millisecond)) {
		t.Fatalf("it comes back as %v, %v", back, err)
	}
}

func TestCodeOf_FindsTheCodeUnderWrapping(t *testing.T) {
	t.Parallel()
	base := schema.Errorf(schema.CodeExpired, "approval %s expired", "x")
	if got := schema.CodeOf(fmt.Errorf("resolve: %w", base)); got != schema.CodeExpired {
		t.Fatalf("code %q", got)
	}
	if schema.CodeOf(errors.New("other")) != schema.CodeInternal || schema.CodeOf(nil) != "" {
		t.Fatal("an unknown error is internal, and none has no code")
	}
}

func TestMarshal_KeepsTextAsItIs(t *testing.T) {
	t.Parallel()
	if got := string(schema.Marshal(schema.OutputData{Stream: schema.Stdout, Text: "<b> & \u2028 \x00"})); !strings.Contains(got, `<b> & `) {
		t.Fatalf("encoded as %s", got)
	}
}

func TestConfig_RefusesWhatItCannotMean(t *testing.T) {
	t.Parallel()
	good := schema.Config{ApprovalMode: schema.ApproveAll, ApprovalTimeoutSeconds: 0.5 + 1, OnTimeout: schema.OnTimeoutReject, Parallel: 8}
	if errs := good.Check("body.config"); errs != nil {
		t.Fatalf("refused: %+v", errs)
	}
	bad := schema.Config{ApprovalMode: "sometimes", ApprovalTimeoutSeconds: -1, OnTimeout: "shrug", Parallel: 65}
	errs := bad.Check("body.config")
	if len(errs) != 4 || errs[0].Location != "body.config.approval_mode" {
		t.Fatalf("errors: %+v", errs)
	}
}

// The vocabulary is below everything else.
func TestSchema_ImportsTheStandardLibraryOnly(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range f.Imports {
			if strings.Contains(i.Path.Value, ".") {
				t.Errorf("%s imports %s", name, i.Path.Value)
			}
		}
	}
}
