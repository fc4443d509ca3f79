package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
	"github.com/holdfast/holdfast/web/problem"
)

const maxFiles = 10_000

const filePath = "/api/sessions/{id}/files/{path}"

func (s *Service) registerFiles(app *fiber.App) {
	const tag = "files"
	handle(s, operation{method: http.MethodGet, path: "/api/sessions/{id}/files", id: "listFiles", summary: "List the files of the workspace", tag: tag},
		func(ctx context.Context, in *SessionPath) (*body[wire.FileList], error) {
			list, err := s.listFiles(ctx, in.ID)
			return answer(list, err)
		})
	s.document(operation{method: http.MethodGet, path: filePath, id: "getFile", summary: "Download a file; Range and If-None-Match are understood", tag: tag}, func(op *huma.Operation) {
		const inPath = "path"
		text := &huma.Schema{Type: huma.TypeString}
		op.Parameters = []*huma.Param{
			{Name: "id", In: inPath, Required: true, Schema: text, Description: "A session's id"},
			{Name: inPath, In: inPath, Required: true, Schema: text, Description: "The file's path; its slashes stay as they are"},
			{Name: "download", In: inQuery, Schema: text, Description: "Any value: have a browser save the file instead of showing it"},
			{Name: "v", In: inQuery, Schema: text, Description: "Any value: tells versions apart in a browser's cache"},
			{Name: "Range", In: "header", Schema: text},
		}
		op.Responses["200"] = &huma.Response{Description: "The file", Content: map[string]*huma.MediaType{"application/octet-stream": {}}}
		op.Responses["206"] = &huma.Response{Description: "A part of it"}
		op.Responses["404"] = &huma.Response{Description: "There is no such file in the workspace"}
		op.Responses["416"] = &huma.Response{Description: "It has no such part"}
	})
	s.routes[len(s.routes)-1].segments[5] = "*"
	app.Get("/api/sessions/:id/files/*", s.getFile)
	s.registerExport(app)
}

func (s *Service) getFile(c *fiber.Ctx) error {
	ctx := c.UserContext()
	var wrong []schema.FieldError
	for name := range c.Queries() {
		if name != "v" && name != "download" {
			wrong = append(wrong, schema.FieldError{Location: "query." + name, Message: problem.NoParameter})
		}
	}
	if len(wrong) > 0 {
		return schema.Invalid(wrong)
	}
	name, err := url.PathUnescape(c.Params("*"))
	if err != nil {
		return noFile(c.Params("*"))
	}
	if schema.BadPath(name) != "" || name == schema.WorkspacePrivate || strings.HasPrefix(name, schema.WorkspacePrivate+"/") {
		return noFile(name)
	}
	w, err := s.workspace(ctx, c.Params("id"))
	if err != nil {
		return err
	}
	defer w.close()
	file, err := w.open(ctx, name)
	if err != nil {
		return err
	}
	return serveFile(c, file, name)
}

func noFile(name string) *schema.Error {
	return schema.Errorf(schema.CodeNotFound, "there is no file %q in the workspace", schema.Brief(name))
}

// serveFile answers with an open file, which it closes, or with a part of it.
func serveFile(c *fiber.Ctx, file *openFile, name string) error {
	size := file.size
	etag := ""
	if file.version != "" {
		etag = `"` + file.version + `"`
		c.Set(fiber.HeaderETag, etag)
		c.Set(fiber.HeaderCacheControl, "private, no-cache")
	} else {
		c.Set(fiber.HeaderCacheControl, "no-store")
	}
	c.Set(fiber.HeaderLastModified, file.modTime.UTC().Format(http.TimeFormat))
	c.Set(fiber.HeaderAcceptRanges, "bytes")
	c.Set(fiber.HeaderContentType, MediaType(name))
	// What a step has made is not trusted: it must not run as a page of ours.
	c.Set(fiber.HeaderContentSecurityPolicy, "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:")
	c.Set(fiber.HeaderContentDisposition, disposition(name, c.Context().QueryArgs().Has("download")))
	if match := c.Get(fiber.HeaderIfNoneMatch); etag != "" && match != "" && (match == "*" || strings.Contains(match, etag)) {
		file.close()
		return c.SendStatus(http.StatusNotModified)
	}
	start, length := int64(0), size
	if r := c.Get(fiber.HeaderRange); r != "" && rangeApplies(c.Get(fiber.HeaderIfRange), etag) {
		from, n, kind := parseRange(r, size)
		switch kind {
		case rangeWhole:
		case rangeOutside:
			file.close()
			c.Set(fiber.HeaderContentRange, fmt.Sprintf("bytes */%d", size))
			return problem.New(c.UserContext(), http.StatusRequestedRangeNotSatisfiable, schema.CodeInvalid,
				fmt.Sprintf("the file has %d bytes, and no such part", size), nil)
		case rangePart:
			start, length = from, n
			c.Status(http.StatusPartialContent)
			c.Set(fiber.HeaderContentRange, fmt.Sprintf("bytes %d-%d/%d", start, start+length-1, size))
		}
	}
	if c.Method() == http.MethodHead || length == 0 {
		file.close()
		c.Response().SkipBody = c.Method() == http.MethodHead
		c.Response().Header.SetContentLength(int(length))
		return nil
	}
	if err := file.begin(start); err != nil {
		file.close()
		return err
	}
	c.Context().SetBodyStream(&filePart{Reader: io.LimitReader(file.content, length), file: file}, int(length))
	return nil
}

// filePart closes the file once it was sent.
type filePart struct {
	io.Reader

	file *openFile
}

// Close implements io.Closer.
func (p *filePart) Close() error {
	p.file.close()
	return nil
}

func rangeApplies(ifRange, etag string) bool {
	return ifRange == "" || (etag != "" && ifRange == etag)
}
