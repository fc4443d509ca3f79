package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"

	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/web/problem"
)

const (
	maxExports    = 4           // at once
	exportStalled = time.Minute // after which a client that takes nothing is given up
	exportBuffer  = 64 << 10
	mediaZip      = "application/zip"
)

func (s *Service) registerExport(app *fiber.App) {
	s.document(operation{
		method: http.MethodGet, path: "/api/sessions/{id}/export", id: "exportSession", tag: "sessions",
		summary: "Download a session as one zip archive: conversation, runs, plans, approvals, audit trail, files and the whole event log",
	}, func(op *huma.Operation) {
		s.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[schema.ExportManifest](), true, "ExportManifest")
		op.Parameters = []*huma.Param{{Name: "id", In: "path", Required: true, Schema: &huma.Schema{Type: huma.TypeString}, Description: "A session's id"}}
		op.Responses["200"] = &huma.Response{
			Description: "The archive. Its last entry, manifest.json, is an ExportManifest: an archive without it is not whole. events.ndjson has the events as the WebSocket sends them, one on each line.",
			Content:     map[string]*huma.MediaType{mediaZip: {}},
		}
		op.Responses["404"] = &huma.Response{Description: "There is no such session"}
		op.Responses["503"] = &huma.Response{Description: "Something that it takes is away, or enough exports are under way; try again"}
	})
	slots := make(chan struct{}, maxExports)
	app.Get("/api/sessions/:id/export", func(c *fiber.Ctx) error { return s.getExport(c, slots) })
}

// getExport answers with an archive that is made while it is sent. What goes wrong after the
// first byte breaks the connection off, so that nobody takes a part for the whole.
func (s *Service) getExport(c *fiber.Ctx, slots chan struct{}) error {
	ctx := c.UserContext()
	var wrong []schema.FieldError
	for name := range c.Queries() {
		wrong = append(wrong, schema.FieldError{Location: "query." + name, Message: problem.NoParameter})
	}
	if len(wrong) > 0 {
		return schema.Invalid(wrong)
	}
	id := c.Params("id")
	session, err := s.Store.Session(ctx, id)
	if err != nil {
		return err
	}
	files, err := s.workspace(ctx, id)
	if err != nil {
		return err
	}
	select {
	case slots <- struct{}{}:
	default:
		files.close()
		return schema.Errorf(schema.CodeUnavailable, "%d exports are under way on this server, which is as many as it makes at once; try again", maxExports)
	}
	c.Set(fiber.HeaderContentType, mediaZip)
	c.Set(fiber.HeaderCacheControl, "no-store")
	c.Set(fiber.HeaderContentDisposition, `attachment; filename="session-`+id[:8]+`.zip"`)
	if c.Method() == http.MethodHead {
		files.close()
		<-slots
		c.Response().SkipBody = true
		return nil
	}
	r, w := io.Pipe()
	ctx, cancel := context.WithCancel(ctx)
	unblock := context.AfterFunc(ctx, func() { w.CloseWithError(context.Cause(ctx)) }) // the server stops
	s.Work.Go(func() {
		defer func() {
			unblock()
			cancel()
			files.close()
			<-slots
		}()
		began := time.Now()
		out := bufio.NewWriterSize(w, exportBuffer)
		manifest, err := s.writeExport(ctx, out, &session, files)
		if err == nil {
			err = out.Flush()
		}
		w.CloseWithError(err) // nil is the end
		switch {
		case err == nil:
			s.Log.InfoContext(ctx, "session exported", slog.Int64("events", manifest.Counts.Events), slog.Int("files", manifest.Counts.Files), slog.Duration("took", time.Since(began)))
		case errors.Is(err, io.ErrClosedPipe) || ctx.Err() != nil:
			s.Log.DebugContext(ctx, "export not taken to its end", logs.Err(err))
		default:
			s.Log.WarnContext(ctx, "export broken off", logs.Err(err))
		}
	})
	c.Context().SetBodyStream(&exportBody{PipeReader: r, conn: c.Context().Conn()}, -1)
	return nil
}

// exportBody is an archive on its way to a client. One that takes nothing for a while is given
// up: what makes the archive waits for it.
type exportBody struct {
	*io.PipeReader

	conn net.Conn
}

// Read implements io.Reader. It is called after what it returned before has been sent.
func (b *exportBody) Read(p []byte) (int, error) {
	n, err := b.PipeReader.Read(p)
	if e := b.conn.SetWriteDeadline(time.Now().Add(exportStalled)); e != nil && err == nil {
		err = fmt.Errorf("send an export: %w", e)
	}
	return n, err
}

// Close implements io.Closer. It ends what makes the archive.
func (b *exportBody) Close() error {
	return errors.Join(b.PipeReader.Close(), b.conn.SetWriteDeadline(time.Time{}))
}
