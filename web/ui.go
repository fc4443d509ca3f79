package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"
	"github.com/klauspost/compress/gzip"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/schema/wire"
)

//go:embed static
var static embed.FS

// pagePolicy lets pages run our own scripts and nothing else. Styles are set by libraries
// from script, so they may be inline.
const pagePolicy = "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' blob: data:; " +
	"font-src 'self' data:; connect-src 'self' ws: wss:; worker-src 'self' blob:; frame-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"

// hashed matches names that a build gives to a file by its content: index-BxY3_a1Z.js.
var hashed = regexp.MustCompile(`^assets/.*[-.][A-Za-z0-9_-]{8,}\.[a-z0-9]+$`)

// asset is a file of the UI, ready to be sent.
type asset struct {
	body, zipped []byte
	kind, etag   string
	immutable    bool
}

// assets are the files of the built UI. Without index.html it was not built.
type assets struct {
	files map[string]*asset
	index *asset
}

const minZipped = 1024 // bytes; smaller files are sent as they are

func loadAssets(from fs.FS) (*assets, error) {
	a := &assets{files: map[string]*asset{}}
	if from != nil {
		err := fs.WalkDir(from, ".", func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			file, err := newAsset(from, name)
			if err == nil {
				a.files[name] = file
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read the UI: %w", err)
		}
	}
	a.index = a.files["index.html"]
	if a.index == nil {
		var err error
		if a.index, err = newAsset(static, "static/unbuilt.html"); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func newAsset(from fs.FS, name string) (*asset, error) {
	body, err := fs.ReadFile(from, name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	sum := sha256.Sum256(body)
	f := &asset{body: body, kind: pageType(name), etag: `"` + hex.EncodeToString(sum[:12]) + `"`, immutable: hashed.MatchString(name)}
	if len(body) >= minZipped && compressible(f.kind) {
		var out bytes.Buffer
		zip, _ := gzip.NewWriterLevel(&out, gzip.BestSpeed) // at every start: a tenth of a second for a megabyte would show
		_, _ = zip.Write(body)
		_ = zip.Close()
		if out.Len() < len(body) {
			f.zipped = out.Bytes()
		}
	}
	return f, nil
}

func pageType(name string) string {
	switch path.Ext(name) {
	case ".js", ".mjs":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".ico":
		return "image/x-icon"
	case ".woff2":
		return "font/woff2"
	case ".webmanifest":
		return "application/manifest+json"
	default:
		return mediaType(name)
	}
}

func compressible(kind string) bool {
	return strings.HasPrefix(kind, "text/") || strings.Contains(kind, "json") || strings.Contains(kind, "svg")
}

func (f *asset) send(c *fiber.Ctx) error {
	c.Set(fiber.HeaderContentType, f.kind)
	c.Set(fiber.HeaderContentSecurityPolicy, pagePolicy)
	c.Set(fiber.HeaderETag, f.etag)
	c.Set(fiber.HeaderVary, fiber.HeaderAcceptEncoding)
	if f.immutable {
		c.Set(fiber.HeaderCacheControl, "public, max-age=31536000, immutable")
	} else {
		c.Set(fiber.HeaderCacheControl, "no-cache")
	}
	if strings.Contains(c.Get(fiber.HeaderIfNoneMatch), f.etag) {
		return c.SendStatus(http.StatusNotModified)
	}
	body := f.body
	if f.zipped != nil && strings.Contains(c.Get(fiber.HeaderAcceptEncoding), "gzip") {
		c.Set(fiber.HeaderContentEncoding, "gzip")
		body = f.zipped
	}
	c.Context().Response.SetBodyRaw(body)
	return nil
}

// serveUI answers every address that is not the API's: with a file of the UI, or with its
// index.html, whose script knows the pages.
func (s *Server) serveUI(c *fiber.Ctx) error {
	name := strings.TrimPrefix(c.Path(), "/")
	if name == "api" || strings.HasPrefix(name, "api/") {
		return fiber.ErrNotFound
	}
	if f := s.ui.files[name]; f != nil {
		return f.send(c)
	}
	if strings.HasPrefix(name, "assets/") { // an old page asks for a file of its own build
		return fiber.ErrNotFound
	}
	return s.ui.index.send(c)
}

// registerPages serves what is text, not JSON of ours: the document, its page, the metrics.
func (s *Server) registerPages(app *fiber.App) {
	const tag = "server"
	s.document(operation{method: http.MethodGet, path: "/api/openapi.json", id: "openapi", summary: "This document", tag: tag}, func(op *huma.Operation) {
		op.Responses["200"] = &huma.Response{Description: "OpenAPI 3.1", Content: map[string]*huma.MediaType{mediaJSON: {}}}
	})
	s.document(operation{method: http.MethodGet, path: "/api/asyncapi.json", id: "asyncapi", summary: "The document of the WebSocket", tag: tag}, func(op *huma.Operation) {
		op.Responses["200"] = &huma.Response{Description: "AsyncAPI 3", Content: map[string]*huma.MediaType{mediaJSON: {}}}
	})
	for path, document := range map[string][]byte{"/api/openapi.json": s.openapi, "/api/asyncapi.json": s.asyncapi} {
		app.Get(path, func(c *fiber.Ctx) error {
			c.Set(fiber.HeaderContentType, mediaJSON)
			return c.Send(document)
		})
	}
	s.document(operation{method: http.MethodGet, path: "/api/metrics", id: "metrics", summary: "Counters in the Prometheus text format; also at /metrics", tag: tag}, func(op *huma.Operation) {
		op.Responses["200"] = &huma.Response{Description: "Prometheus text", Content: map[string]*huma.MediaType{mediaText: {}}}
	})
	for _, where := range []string{"/api/metrics", "/metrics"} {
		app.Get(where, func(c *fiber.Ctx) error { return s.metrics.serve(c) })
	}
	for where, file := range map[string]string{
		"/api/docs": "static/docs.html", "/api/docs/docs.js": "static/docs.js", "/api/docs/docs.css": "static/docs.css",
	} {
		s.addRoute(http.MethodGet, where)
		app.Get(where, func(c *fiber.Ctx) error {
			f, err := newAsset(static, file)
			if err != nil {
				return schema.Wrap(schema.CodeInternal, err, wire.InternalMessage)
			}
			return f.send(c)
		})
	}
}
