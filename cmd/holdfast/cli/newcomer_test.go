package cli

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/cmd/holdfast/terminal"
	"github.com/holdfast/holdfast/schema"
)

func TestResolve_TakesTheVerbAndWhatWasDone(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]string{
		"approve": "approved", "approved": "approved", "Reject": "rejected", "rejected": "rejected", "retry": "retry", "skip": "skip", "abort": "abort",
	} {
		s := newScripted(t)
		s.on("POST "+asked+"/resolve", http.StatusOK, schema.Approval{ID: otherID})
		s.run("", "approval", "resolve", otherID, word).want(t, exitOK, "approval 9c0d58b4 "+want)
		s.wants("POST " + asked + `/resolve {"resolution":"` + want + `"}`)
	}
}

func TestStart_TakesDaysAndSaysThatAPersonDoes(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	s.on("POST /api/sessions", http.StatusCreated, schema.Session{ID: scriptedID})
	s.run("", "session", "start", "--plan", writeFile(t, "p.json", quick), "--session-ttl", "3d", "--approval-timeout", "1w", "--run-timeout", "1d12h").want(t, exitOK)
	for _, request := range s.asked() {
		for _, part := range []string{`"attended":true`, `"session_ttl":"72h"`, `"approval_timeout_seconds":604800`, `"run_timeout":"36h"`} {
			if !strings.Contains(request, part) {
				t.Errorf("there is no %s in %s", part, request)
			}
		}
	}
}

func TestRun_WhatTheServerFindsWrongIsWrongUsage(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusBadRequest, http.StatusUnprocessableEntity} {
		s := newScripted(t)
		s.on("GET /api/sessions", status, schema.Problem{Status: status, Detail: "query.mode[0]: there is no such mode", Errors: []schema.FieldError{
			{Location: "query.mode[0]", Message: "there is no such mode", Value: "bogus"},
		}})
		r := s.run("", "session", "list", "--mode", "bogus")
		if want := "holdfast: mode: there is no such mode (got \"bogus\")\n"; r.code != exitUsage || r.errOut != want {
			t.Errorf("exit code %d, %q; want %q", r.code, r.errOut, want)
		}
	}
}

func TestDelete_AnswersInJSON(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	s.on("DELETE "+aSession, http.StatusNoContent, nil)
	if r := s.run("", "session", "delete", scriptedID, "--yes", "--json"); r.code != exitOK || r.out != `{"id":"`+scriptedID+`","deleted":true}`+"\n" {
		t.Errorf("exit code %d, %q", r.code, r.out)
	}
}

func TestExport_ReplacesNothingUnlessItIsToldTo(t *testing.T) {
	t.Parallel()
	whole := anArchive(t, "session.json", "{}", "events.ndjson", "{}\n", "manifest.json", manifest(1, 0, scriptedID))
	env := exporting(t, whole, 0)
	name := writeFile(t, "mine.zip", "precious")
	run(t, env, "", "session", "export", scriptedID, "-o", name).want(t, exitUsage, "is there already; --force replaces it")
	if text, err := os.ReadFile(name); err != nil || string(text) != "precious" {
		t.Fatalf("it is now %q, %v", text, err)
	}
	r := run(t, env, "", "session", "export", scriptedID, "-o", name, "--force", "--json")
	if r.code != exitOK || !strings.HasPrefix(r.out, `{"file":"`+name+`","bytes":`) || !strings.Contains(r.out, `"manifest":{`) {
		t.Errorf("exit code %d, %q, %q", r.code, r.out, r.errOut)
	}
	if left, err := os.ReadDir(filepath.Dir(name)); err != nil || len(left) != 1 {
		t.Errorf("the folder has %v, %v", left, err)
	}
}

func TestSaveExport_LeavesAloneWhatHasComeMeanwhile(t *testing.T) {
	t.Parallel()
	whole := anArchive(t, "events.ndjson", "", "manifest.json", manifest(0, 0, scriptedID))
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	name := writeFile(t, "mine.zip", "precious")
	if _, err := saveExport(&download{Reader: strings.NewReader(string(whole))}, name, scriptedID, false); err == nil {
		t.Error("the file was replaced")
	}
	if text, err := os.ReadFile(name); err != nil || string(text) != "precious" {
		t.Errorf("it is now %q, %v", text, err)
	}
}

func TestAsker_CtrlDAtATerminalEndsTheWatchingAndDecidesNothing(t *testing.T) {
	t.Parallel()
	a := newAsking(t, true)
	a.asks("p1")
	a.caughtUp()
	close(a.lines)
	<-a.quits
	select {
	case r := <-a.decided:
		t.Errorf("decided %+v", r)
	default:
	}
}

func TestView_HasNoColoursWhereTheyAreNotWanted(t *testing.T) {
	t.Parallel()
	const program = "\x1b[31mred\x1b[0m 10%\r\x1b[K20%\n"
	for _, c := range []struct {
		cleaner terminal.Cleaner
		want    string
	}{
		{terminal.Cleaner{Keep: true}, program},
		{terminal.Cleaner{Keep: true, Plain: true}, "red 10%\r\x1b[K20%\n"}, // NO_COLOR: what moves stays
		{terminal.Cleaner{}, "red 10%\r20%\n"},                              // TERM=dumb
	} {
		if got := c.cleaner.Clean(program); got != c.want {
			t.Errorf("%+v: %q, want %q", c.cleaner, got, c.want)
		}
	}
	for _, env := range []map[string]string{{"NO_COLOR": "1"}, {"TERM": "dumb"}} {
		if terminal.StyleFor(os.Stdout, func(name string) string { return env[name] }).On {
			t.Errorf("coloured with %v", env)
		}
	}
}
