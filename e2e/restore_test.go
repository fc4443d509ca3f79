package e2e

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/internal/testkit"
)

// documented are the commands that follow a sentence of a page, as they stand there.
func documented(t *testing.T, page, sentence string) string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(text), sentence)
	if !found {
		t.Fatalf("%s does not say %q", page, sentence)
	}
	_, after, _ = strings.Cut(after, "\n\n") // the paragraph
	block, _, _ := strings.Cut(after, "\n\n")
	var commands []string
	for line := range strings.SplitSeq(block, "\n") {
		command, found := strings.CutPrefix(line, "    ")
		if !found {
			t.Fatalf("%s has no commands after %q, but %q", page, sentence, line)
		}
		commands = append(commands, command)
	}
	return strings.Join(commands, "\n")
}

func TestRestore_ACopyOfTheDataFolderHasEverythingAndGoesOn(t *testing.T) {
	t.Parallel()
	const page = "../docs/operations.md"
	backup := documented(t, page, "**An installation by `holdfast up`** is its data folder.")
	restore := documented(t, page, "**A data folder.** Put the copy where the folder was")
	copies, starts := strings.CutSuffix(restore, "\nholdfast up")
	if !starts {
		t.Fatalf("what is documented does not end with a start: %s", restore)
	}

	s := newStack(t)
	id := s.start(`{"steps":[{"id":"keep","shell":"echo kept > kept.txt; echo said $HOLDFAST_MESSAGE; cat kept.txt"}]}`, nil)
	s.awaitStatus(id, "completed")
	waiting := s.start(asking, nil)
	pending := s.awaitApproval(waiting)
	before := s.session(id)
	s.down()

	// The folder of the page's reader is home/.local/share/holdfast; the backup is below a folder of the test.
	home, kept := t.TempDir(), t.TempDir()
	folder := filepath.Join(home, ".local", "share", "holdfast")
	if err := os.MkdirAll(filepath.Dir(folder), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(s.dir, folder); err != nil {
		t.Fatal(err)
	}
	follow := func(script string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		cmd := exec.CommandContext(ctx, "sh", "-eu", "-c", strings.ReplaceAll(script, "/backup/", kept+"/"))
		cmd.Env = append(os.Environ(), "HOME="+home)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v\n%s\nprinted\n%s", err, script, out.String())
		}
	}
	follow(backup)
	if err := os.RemoveAll(folder); err != nil { // the disk is gone
		t.Fatal(err)
	}
	follow(copies)
	s.dir = folder
	s.up()

	if after := s.session(id); after.Status != "completed" || after.HeadSeq != before.HeadSeq {
		t.Errorf("the session was %+v and is %+v", before, after)
	}
	if got := s.file(id, "kept.txt"); got != "kept\n" {
		t.Errorf("its file has %q", got)
	}
	if got := s.awaitApproval(waiting); got.ID != pending.ID {
		t.Errorf("it asked %+v, and asks %+v", pending, got)
	}
	s.mustCall("POST", "/api/approvals/"+pending.ID+"/resolve", obj{"resolution": "approved"}, nil)
	s.awaitStatus(waiting, "completed")
	s.mustCall("POST", "/api/sessions/"+id+"/messages", obj{"content": "again"}, nil)
	why := ranAgain("again")
	testkit.Within(t, patience, "another run", func() string { return why(s, id, "", "") })
}

// file is what a file of a session's workspace has.
func (s *stack) file(id, name string) string {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.web+"/api/sessions/"+id+"/files/"+name, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		s.t.Fatalf("%s of session %s: %s %s %v", name, id, res.Status, content, err)
	}
	return string(content)
}
