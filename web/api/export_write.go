package api

import (
	"archive/zip"
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/klauspost/compress/flate"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/store"
	"github.com/holdfast/holdfast/web/frame"
)

const (
	exportEvents = 1000    // of one read
	exportBytes  = 4 << 20 // and their data
	exportPage   = 200     // of lists
	exportRead   = 30 * time.Second
	exportTries  = 10                     // of a read, while Postgres is away
	exportRetry  = 300 * time.Millisecond // until the first of them; each waits longer
)

// exporter writes one archive.
type exporter struct {
	service  *Service
	ctx      context.Context //nolint:containedctx // of the one call that makes and uses it
	zip      *zip.Writer
	session  *schema.Session
	files    *workspace
	manifest schema.ExportManifest
	names    map[string]bool // of files, as they stand in the archive
}

// fileName is the name of a file in the archive: one that every system unpacks into the folder it is asked to, and that no
// other file has.
func (e *exporter) fileName(name string) string {
	if e.names == nil {
		e.names = map[string]bool{}
	}
	clean := cleanPath(name)
	for n := 2; e.names[clean]; n++ {
		clean = cleanPath(name) + "~" + strconv.Itoa(n)
	}
	e.names[clean] = true
	return clean
}

// writeExport writes the archive of a session. Everything is read a part at a time. The log comes
// last, up to where it is then: it has whatever the other parts tell.
func (s *Service) writeExport(ctx context.Context, out io.Writer, session *schema.Session, files *workspace) (schema.ExportManifest, error) {
	e := &exporter{service: s, ctx: ctx, zip: zip.NewWriter(out), session: session, files: files}
	var packer *flate.Writer // of one entry after the other
	e.zip.RegisterCompressor(zip.Deflate, func(out io.Writer) (io.WriteCloser, error) {
		if packer == nil {
			var err error
			packer, err = flate.NewWriter(out, flate.BestSpeed)
			return packer, err
		}
		packer.Reset(out)
		return packer, nil
	})
	e.manifest = schema.ExportManifest{Format: schema.ExportFormat, SessionID: session.ID, CreatedAt: schema.Time{Time: time.Now()}, Server: s.Version}
	for _, part := range []func() error{e.writeSession, e.writeRuns, e.writePlans, e.writeMessages, e.writeApprovals, e.writeAudit, e.writeFiles, e.writeEvents, e.writeManifest} {
		if err := part(); err != nil {
			return e.manifest, err
		}
	}
	if err := e.zip.Close(); err != nil {
		return e.manifest, fmt.Errorf("end the archive: %w", err)
	}
	return e.manifest, nil
}

// read reads from Postgres. While that is away, it waits.
func (e *exporter) read(do func(ctx context.Context) error) error {
	for try := 1; ; try++ {
		ctx, cancel := context.WithTimeout(e.ctx, exportRead)
		err := do(ctx)
		cancel()
		if err == nil || schema.CodeOf(err) != schema.CodeUnavailable || try == exportTries || e.ctx.Err() != nil {
			return err
		}
		select {
		case <-e.ctx.Done():
		case <-time.After(time.Duration(try) * exportRetry):
		}
	}
}

func (e *exporter) create(name string, modified time.Time) (io.Writer, error) {
	w, err := e.zip.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: modified})
	if err != nil {
		return nil, fmt.Errorf("begin %s: %w", name, err)
	}
	return w, nil
}

func (e *exporter) writeJSON(name string, v any) error {
	w, err := e.create(name, e.manifest.CreatedAt.Time)
	if err != nil {
		return err
	}
	if _, err := w.Write(append(schema.Marshal(v), '\n')); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// listWriter writes {"name": [ … ]}, an item a line.
type listWriter struct {
	out   io.Writer
	items int
}

func (e *exporter) writeList(name, field string, fill func(l *listWriter) error) (int, error) {
	w, err := e.create(name, e.manifest.CreatedAt.Time)
	if err != nil {
		return 0, err
	}
	l := &listWriter{out: w}
	if _, err := io.WriteString(w, "{"+strconv.Quote(field)+":["); err != nil {
		return 0, fmt.Errorf("write %s: %w", name, err)
	}
	if err := fill(l); err != nil {
		return 0, err
	}
	if _, err := io.WriteString(w, "\n]}\n"); err != nil {
		return 0, fmt.Errorf("write %s: %w", name, err)
	}
	return l.items, nil
}

func (l *listWriter) add(item any) error {
	start := ",\n"
	if l.items == 0 {
		start = "\n"
	}
	l.items++
	if _, err := l.out.Write(append([]byte(start), schema.Marshal(item)...)); err != nil {
		return fmt.Errorf("write a list: %w", err)
	}
	return nil
}

// exportPages adds the items of pages until one has no next. get reads the page after a cursor.
func exportPages[T any](e *exporter, l *listWriter, get func(ctx context.Context, cursor string) ([]T, string, error)) error {
	for cursor := ""; ; {
		var (
			list []T
			next string
		)
		err := e.read(func(ctx context.Context) (err error) {
			list, next, err = get(ctx, cursor)
			return err
		})
		if err != nil {
			return err
		}
		for i := range list {
			if err := l.add(&list[i]); err != nil {
				return err
			}
		}
		if next == "" {
			return nil
		}
		cursor = next
	}
}

func (e *exporter) writeSession() error { return e.writeJSON(schema.ExportSession, e.session) }

func (e *exporter) writeManifest() error { return e.writeJSON(schema.ExportEnd, &e.manifest) }

func (e *exporter) writeRuns() (err error) {
	e.manifest.Counts.Runs, err = e.writeList(schema.ExportRuns, "runs", func(l *listWriter) error {
		return exportPages(e, l, func(ctx context.Context, _ string) ([]schema.Run, string, error) {
			runs, err := e.service.Store.Runs(ctx, e.session.ID)
			return runs, "", err
		})
	})
	return err
}

func (e *exporter) writePlans() (err error) {
	var digests []string
	err = e.read(func(ctx context.Context) (err error) {
		digests, err = e.service.Store.PlanDigests(ctx, e.session.ID)
		return err
	})
	if err != nil {
		return err
	}
	e.manifest.Counts.Plans, err = e.writeList(schema.ExportPlans, "plans", func(l *listWriter) error {
		for _, digest := range digests {
			err := exportPages(e, l, func(ctx context.Context, _ string) ([]schema.SavedPlan, string, error) {
				plan, err := e.service.Store.SavedPlan(ctx, e.session.ID, digest)
				return []schema.SavedPlan{plan}, "", err
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return err
}

func (e *exporter) writeMessages() (err error) {
	e.manifest.Counts.Messages, err = e.writeList(schema.ExportMessages, "messages", func(l *listWriter) error {
		return exportPages(e, l, func(ctx context.Context, cursor string) ([]schema.Message, string, error) {
			return e.service.Store.Messages(ctx, e.session.ID, exportPage, cursor)
		})
	})
	return err
}

func (e *exporter) writeApprovals() (err error) {
	e.manifest.Counts.Approvals, err = e.writeList(schema.ExportApprovals, "approvals", func(l *listWriter) error {
		return exportPages(e, l, func(ctx context.Context, cursor string) ([]schema.Approval, string, error) {
			return e.service.Store.Approvals(ctx, store.ApprovalFilter{SessionID: e.session.ID, Limit: exportPage, Cursor: cursor})
		})
	})
	return err
}

func (e *exporter) writeAudit() (err error) {
	e.manifest.Counts.Audit, err = e.writeList(schema.ExportAudit, "audit", func(l *listWriter) error {
		after := int64(0)
		return exportPages(e, l, func(ctx context.Context, _ string) ([]schema.AuditEntry, string, error) {
			list, next, err := e.service.Store.Audit(ctx, e.session.ID, after, exportPage)
			if err != nil || next == 0 {
				return list, "", err
			}
			after = next
			return list, strconv.FormatInt(next, 10), nil
		})
	})
	return err
}

// writeFiles writes what lists of files show, without their bound.
func (e *exporter) writeFiles() error {
	add := func(name string, _ int64, modified time.Time) error {
		file, err := e.files.open(e.ctx, name)
		if schema.CodeOf(err) == schema.CodeNotFound {
			return nil // a step at work has removed it
		}
		if err != nil {
			return err
		}
		defer file.close()
		w, err := e.create(schema.ExportFiles+e.fileName(name), modified)
		if err != nil {
			return err
		}
		n, err := io.Copy(w, file.content)
		if err != nil {
			return fmt.Errorf("write a file: %w", err)
		}
		e.manifest.Counts.Files++
		e.manifest.Counts.FileBytes += n
		return nil
	}
	switch {
	case e.files.snapshot != "":
		return e.files.listSnapshot(e.ctx, add)
	case e.files.root != nil:
		return e.files.listFolder(add)
	default: // no step has run yet
		return nil
	}
}

func (e *exporter) writeEvents() error {
	err := e.read(func(ctx context.Context) (err error) {
		e.manifest.HeadSeq, err = e.service.Store.HeadSeq(ctx, e.session.ID)
		return err
	})
	if err != nil {
		return err
	}
	w, err := e.create(schema.ExportEvents, e.manifest.CreatedAt.Time)
	if err != nil {
		return err
	}
	var line []byte
	for last := int64(0); last < e.manifest.HeadSeq; {
		var events []schema.Event
		err := e.read(func(ctx context.Context) (err error) {
			events, err = e.service.Store.Events(ctx, e.session.ID, store.EventFilter{Since: last, Until: e.manifest.HeadSeq, Limit: exportEvents, MaxBytes: exportBytes})
			return err
		})
		if err != nil {
			return err
		}
		if len(events) == 0 {
			return fmt.Errorf("the log has nothing after %d, but its head is %d", last, e.manifest.HeadSeq)
		}
		for i := range events {
			if events[i].Seq != last+1 {
				return fmt.Errorf("after event %d comes %d", last, events[i].Seq)
			}
			last++
			line = append(frame.AppendEvent(line[:0], &events[i]), '\n')
			if _, err := w.Write(line); err != nil {
				return fmt.Errorf("write the log: %w", err)
			}
		}
	}
	e.manifest.Counts.Events = e.manifest.HeadSeq
	return nil
}
