package cli

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfast/holdfast/cmd/holdfast/terminal"
	"github.com/holdfast/holdfast/schema"
)

type sessionExportCmd struct {
	server
	ID     string `arg:""                                                                                               help:"The session's id, or its first 4 or more characters."`
	Output string `help:"Where to write the archive; - is standard output. session-ID.zip in this folder when absent." placeholder:"FILE"                                          short:"o"`
	Force  bool   `help:"Replace an existing file." short:"f"`
	JSON   bool   `help:"Print JSON: the file, its size, and the archive's own description." name:"json"`
}

// Help is shown by --help.
func (*sessionExportCmd) Help() string {
	return "One zip archive with the session, its conversation, runs, plans, approvals, audit trail and files, and with its whole event log. " +
		"The file appears once the archive is complete and checked. With -o - the exit code says whether it is complete.\n\n" +
		example("holdfast session export 1f3a", "holdfast session export 1f3a -o - | ssh elsewhere 'cat > run.zip'")
}

func (c *sessionExportCmd) Run(inv *invocation) error {
	if c.Output == "-" && c.JSON {
		return usage("with -o - standard output is the archive: there is no room for --json")
	}
	if c.Output == "-" && terminal.IsTerminal(inv.stdout) {
		return usage("an archive is nothing to look at: give a file with -o, or send standard output somewhere")
	}
	api, id, err := c.session(inv, c.ID)
	if err != nil {
		return err
	}
	defer api.Close()
	name := c.Output
	if name == "" {
		name = "session-" + short(id) + ".zip"
	}
	if _, err := os.Lstat(name); err == nil && name != "-" && !c.Force {
		return usage("%s is there already; --force replaces it, -o names another file", name)
	}
	inv.patient(api)
	body, err := api.Export(inv.ctx, id)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	from := &download{Reader: body, inv: inv, shown: terminal.IsTerminal(inv.stderr)}
	if c.Output == "-" {
		_, err := io.Copy(inv.stdout, from)
		from.end()
		return brokenOff(err)
	}
	manifest, err := saveExport(from, name, id, c.Force)
	if err != nil {
		return err
	}
	if c.JSON {
		inv.raw(schema.Marshal(struct {
			File     string                `json:"file"`
			Bytes    int64                 `json:"bytes"`
			Manifest schema.ExportManifest `json:"manifest"`
		}{name, from.n, manifest}))
		return nil
	}
	inv.printf("session %s exported to %s: %s, %s, %s\n", short(id), name, counted(int(manifest.Counts.Events), "event"),
		counted(manifest.Counts.Files, "file"), terminal.Bytes(from.n))
	return nil
}

func brokenOff(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the server broke the archive off; its log says why")
	}
	return err
}

// saveExport writes an archive under a temporary name, checks it, and renames it.
func saveExport(from *download, name, id string, replace bool) (m schema.ExportManifest, err error) {
	file, err := os.CreateTemp(filepath.Dir(name), ".holdfast-export-*")
	if err != nil {
		return m, fmt.Errorf("the archive cannot be written: %w", err)
	}
	defer func() {
		_ = file.Close()
		_ = os.Remove(file.Name()) // unless it was renamed
	}()
	_, err = io.Copy(file, from)
	from.end()
	if err != nil {
		return m, brokenOff(err)
	}
	if m, err = checkExport(file, from.n, id); err != nil {
		return m, fmt.Errorf("the archive is not whole: %w", err)
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return m, fmt.Errorf("the archive cannot be written: %w", err)
	}
	err = os.Link(file.Name(), name) // which never replaces a file that has appeared meanwhile
	if err != nil && (replace || !errors.Is(err, os.ErrExist)) {
		err = os.Rename(file.Name(), name) // not every file system has links
	}
	if err != nil {
		return m, fmt.Errorf("the archive cannot be written: %w", err)
	}
	return m, nil
}

// checkExport reads the whole archive and checks it against its manifest.
func checkExport(file io.ReaderAt, size int64, id string) (m schema.ExportManifest, err error) {
	archive, err := zip.NewReader(file, size)
	if err != nil {
		return m, err
	}
	last := ""
	events, files := int64(0), 0
	for _, entry := range archive.File {
		last = entry.Name
		lines := &lineCounter{}
		var text bytes.Buffer
		to := io.Discard
		switch {
		case last == schema.ExportEvents:
			to = lines
		case last == schema.ExportEnd:
			to = &text
		case strings.HasPrefix(last, schema.ExportFiles):
			files++
		}
		if err := readEntry(entry, to); err != nil {
			return m, fmt.Errorf("%s: %w", last, err)
		}
		events += lines.n
		if last == schema.ExportEnd {
			if err := json.Unmarshal(text.Bytes(), &m); err != nil {
				return m, fmt.Errorf("%s: %w", last, err)
			}
		}
	}
	switch {
	case last != schema.ExportEnd:
		return m, fmt.Errorf("it does not end with %s", schema.ExportEnd)
	case m.Format != schema.ExportFormat:
		return m, fmt.Errorf("its format is %q, not %q", m.Format, schema.ExportFormat)
	case m.SessionID != id:
		return m, fmt.Errorf("it is of session %q", m.SessionID)
	case events != m.HeadSeq || files != m.Counts.Files:
		return m, fmt.Errorf("it has %d events and %d files, not %d and %d", events, files, m.HeadSeq, m.Counts.Files)
	}
	return m, nil
}

// readEntry reads a whole entry, which checks its sum.
func readEntry(entry *zip.File, to io.Writer) error {
	r, err := entry.Open()
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	_, err = io.Copy(to, r) //nolint:gosec // only a manifest is kept in memory
	return err
}

type lineCounter struct{ n int64 }

func (l *lineCounter) Write(p []byte) (int, error) {
	l.n += int64(bytes.Count(p, []byte{'\n'}))
	return len(p), nil
}

// download counts the bytes read, and shows the count on a terminal.
type download struct {
	io.Reader

	inv   *invocation
	shown bool
	n     int64
	last  time.Time
}

const progressEvery = 200 * time.Millisecond

// Read implements io.Reader.
func (p *download) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	p.n += int64(n)
	if p.shown && time.Since(p.last) > progressEvery {
		p.last = time.Now()
		p.inv.notef("\r\x1b[K%s", terminal.Bytes(p.n))
	}
	return n, err
}

// end removes the progress from the terminal.
func (p *download) end() {
	if p.shown {
		p.inv.notef("\r\x1b[K")
	}
}
