package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"

	"github.com/holdfast/holdfast/schema"
)

// FileList is every artifact of a session, by path.
type FileList struct {
	Files     []schema.File `json:"files"`
	Truncated bool          `json:"truncated,omitempty" doc:"Whether there are more than the 10,000 that are listed"`
}

const maxFiles = 10_000

const filePath = "/api/sessions/{id}/files/{path}"

func (s *Server) registerFiles(app *fiber.App) {
	const tag = "files"
	handle(s, operation{method: http.MethodGet, path: "/api/sessions/{id}/files", id: "listFiles", summary: "List the files of the workspace", tag: tag},
		func(ctx context.Context, in *SessionPath) (*body[FileList], error) {
			list, err := s.listFiles(ctx, in.ID)
			return answer(list, err)
		})
	s.document(operation{method: http.MethodGet, path: filePath, id: "getFile", summary: "Download a file; Range and If-None-Match are understood", tag: tag}, func(op *huma.Operation) {
		const inPath = "path"
		text := &huma.Schema{Type: huma.TypeString}
		op.Parameters = []*huma.Param{
			{Name: "id", In: inPath, Required: true, Schema: text, Description: "A session's id"},
			{Name: inPath, In: inPath, Required: true, Schema: text, Description: "The file's path; its slashes stay as they are"},
			{Name: "download", In: "query", Schema: text, Description: "Any value: have a browser save the file instead of showing it"},
			{Name: "v", In: "query", Schema: text, Description: "Any value: tells versions apart in a browser's cache"},
			{Name: "Range", In: "header", Schema: text},
		}
		op.Responses["200"] = &huma.Response{Description: "The file", Content: map[string]*huma.MediaType{"application/octet-stream": {}}}
		op.Responses["206"] = &huma.Response{Description: "A part of it"}
		op.Responses["404"] = &huma.Response{Description: "There is no such file in the workspace"}
		op.Responses["416"] = &huma.Response{Description: "It has no such part"}
	})
	s.routes[len(s.routes)-1].segments[5] = "*"
	app.Get("/api/sessions/:id/files/*", s.getFile)
}

// workspace opens a session's workspace. Nothing that is reached through it can be outside,
// whatever the path says and wherever symbolic links point. It is nil while no step has run.
func (s *Server) workspace(ctx context.Context, sessionID string) (*os.Root, error) {
	if _, err := s.store.HeadSeq(ctx, sessionID); err != nil { // unknown and deleted sessions have no files
		return nil, err //nolint:wrapcheck // a schema.Error
	}
	root, err := os.OpenRoot(schema.WorkspaceDir(s.opts.DataDir, sessionID))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // documented
	}
	if err != nil {
		return nil, schema.Wrap(schema.CodeInternal, err, "the workspace could not be opened")
	}
	return root, nil
}

func (s *Server) listFiles(ctx context.Context, sessionID string) (FileList, error) {
	list := FileList{Files: []schema.File{}}
	root, err := s.workspace(ctx, sessionID)
	if err != nil || root == nil {
		return list, err
	}
	defer root.Close()
	err = fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			if name == "." {
				return err
			}
			return nil // it went away, or is not readable: the rest is still worth a list
		case entry.IsDir() && name != "." && strings.HasPrefix(path.Base(name), "."):
			return fs.SkipDir // a program's own: HOME, TMPDIR, caches
		case entry.IsDir() || !utf8.ValidString(name):
			return nil
		}
		info, err := root.Stat(name) // follows links, within the workspace
		if err != nil || !info.Mode().IsRegular() {
			return nil //nolint:nilerr // a link to outside or to nothing is no file
		}
		if len(list.Files) == maxFiles {
			list.Truncated = true
			return fs.SkipAll
		}
		list.Files = append(list.Files, schema.File{
			Path: name, Size: info.Size(), MediaType: mediaType(name), ModifiedAt: schema.Time{Time: info.ModTime()},
		})
		return nil
	})
	if err != nil {
		return list, schema.Wrap(schema.CodeInternal, err, "the workspace could not be read")
	}
	slices.SortFunc(list.Files, func(a, b schema.File) int { return strings.Compare(a.Path, b.Path) })
	return list, nil
}

func (s *Server) getFile(c *fiber.Ctx) error {
	ctx := c.UserContext()
	var wrong []schema.FieldError
	for name := range c.Queries() {
		if name != "v" && name != "download" {
			wrong = append(wrong, schema.FieldError{Location: "query." + name, Message: noParameter})
		}
	}
	if len(wrong) > 0 {
		return invalid(wrong)
	}
	name, err := url.PathUnescape(c.Params("*"))
	if err != nil {
		return noFile(c.Params("*"))
	}
	root, err := s.workspace(ctx, c.Params("id"))
	if err != nil {
		return err
	}
	if root == nil || schema.BadPath(name) != "" {
		if root != nil {
			_ = root.Close()
		}
		return noFile(name)
	}
	defer root.Close()
	// Not blocking: a named pipe would wait for a writer.
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return noFile(name) // also for what is outside, or not readable
	}
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		_ = file.Close()
		return noFile(name)
	}
	return serveFile(c, file, info, name)
}

func noFile(name string) *schema.Error {
	return schema.Errorf(schema.CodeNotFound, "there is no file %q in the workspace", brief(name))
}

// serveFile answers with an open file, which it closes, or with a part of it.
func serveFile(c *fiber.Ctx, file *os.File, info fs.FileInfo, name string) error {
	size := info.Size()
	etag := fmt.Sprintf(`"%x-%x"`, info.ModTime().UnixNano(), size)
	c.Set(fiber.HeaderETag, etag)
	c.Set(fiber.HeaderLastModified, info.ModTime().UTC().Format(http.TimeFormat))
	c.Set(fiber.HeaderCacheControl, "private, no-cache")
	c.Set(fiber.HeaderAcceptRanges, "bytes")
	c.Set(fiber.HeaderContentType, mediaType(name))
	// What a step has made is not trusted: it must not run as a page of ours.
	c.Set(fiber.HeaderContentSecurityPolicy, "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:")
	c.Set(fiber.HeaderContentDisposition, disposition(name, c.Context().QueryArgs().Has("download")))
	if match := c.Get(fiber.HeaderIfNoneMatch); match != "" && (match == "*" || strings.Contains(match, etag)) {
		_ = file.Close()
		return c.SendStatus(http.StatusNotModified)
	}
	start, length := int64(0), size
	if r := c.Get(fiber.HeaderRange); r != "" && rangeApplies(c.Get(fiber.HeaderIfRange), etag) {
		from, n, kind := parseRange(r, size)
		switch kind {
		case rangeWhole:
		case rangeOutside:
			_ = file.Close()
			c.Set(fiber.HeaderContentRange, fmt.Sprintf("bytes */%d", size))
			return newProblem(c.UserContext(), http.StatusRequestedRangeNotSatisfiable, schema.CodeInvalid,
				fmt.Sprintf("the file has %d bytes, and no such part", size), nil)
		case rangePart:
			start, length = from, n
			c.Status(http.StatusPartialContent)
			c.Set(fiber.HeaderContentRange, fmt.Sprintf("bytes %d-%d/%d", start, start+length-1, size))
		}
	}
	if c.Method() == http.MethodHead || length == 0 {
		_ = file.Close()
		c.Response().SkipBody = c.Method() == http.MethodHead
		c.Response().Header.SetContentLength(int(length))
		return nil
	}
	c.Context().SetBodyStream(&filePart{Reader: io.NewSectionReader(file, start, length), file: file}, int(length))
	return nil
}

// filePart closes the file once it was sent.
type filePart struct {
	io.Reader

	file *os.File
}

// Close implements io.Closer.
func (p *filePart) Close() error { return p.file.Close() } //nolint:wrapcheck // of a file that was only read

func rangeApplies(ifRange, etag string) bool { return ifRange == "" || ifRange == etag }
