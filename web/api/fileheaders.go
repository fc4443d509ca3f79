package api

import (
	"mime"
	"net/url"
	"path"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

type rangeKind int

const (
	rangeWhole   rangeKind = iota // there is none, or it is not one that must be honoured
	rangePart                     // start and length say which
	rangeOutside                  // it lies outside of the file
)

// parseRange reads a Range header (RFC 9110, section 14.2) of one part. Several parts, and
// what cannot be understood, may be ignored, and are.
func parseRange(header string, size int64) (start, length int64, kind rangeKind) {
	spec, ok := strings.CutPrefix(header, "bytes=")
	if !ok || strings.Contains(spec, ",") {
		return 0, 0, rangeWhole
	}
	first, last, ok := strings.Cut(strings.TrimSpace(spec), "-")
	if !ok {
		return 0, 0, rangeWhole
	}
	if first == "" { // the last n bytes
		n, err := strconv.ParseInt(last, 10, 64)
		switch {
		case err != nil || n < 0:
			return 0, 0, rangeWhole
		case n == 0 || size == 0:
			return 0, 0, rangeOutside
		}
		n = min(n, size)
		return size - n, n, rangePart
	}
	from, err := strconv.ParseInt(first, 10, 64)
	if err != nil || from < 0 {
		return 0, 0, rangeWhole
	}
	to := size - 1
	if last != "" {
		if to, err = strconv.ParseInt(last, 10, 64); err != nil || to < from {
			return 0, 0, rangeWhole
		}
	}
	if from >= size {
		return 0, 0, rangeOutside
	}
	return from, min(to, size-1) - from + 1, rangePart
}

// mediaTypes are those that the UI shows in its own way; the rest is the system's business.
var mediaTypes = map[string]string{
	".csv": "text/csv", ".gif": "image/gif", ".htm": mediaHTML, ".html": mediaHTML, ".jpeg": "image/jpeg", ".jpg": "image/jpeg",
	".json": mediaJSON, ".jsonl": "application/jsonl", ".log": mediaText, ".md": "text/markdown", ".pdf": "application/pdf",
	".png": "image/png", ".py": "text/x-python", ".sh": "text/x-sh", ".svg": "image/svg+xml", ".tex": "text/x-tex", ".tsv": "text/tab-separated-values",
	".txt": mediaText, ".webp": "image/webp", ".xml": "application/xml", ".yaml": "application/yaml", ".yml": "application/yaml",
}

// MediaType is the type by which a file is served, from its name. Nothing that a page of ours could run has its own.
func MediaType(name string) string {
	ext := strings.ToLower(path.Ext(name))
	kind, ok := mediaTypes[ext]
	if !ok {
		kind = mime.TypeByExtension(ext)
	}
	switch {
	case kind == "":
		return "application/octet-stream"
	case active(kind): // shown as the text that it is, and never run as a part of a page of ours
		return mediaText + "; charset=utf-8"
	case strings.HasPrefix(kind, "text/") && !strings.Contains(kind, "charset"):
		return kind + "; charset=utf-8"
	default:
		return kind
	}
}

// active reports whether a page of ours could load something of this type and have it act: scripts, styles, modules.
func active(kind string) bool {
	kind = strings.ToLower(kind)
	for _, part := range []string{"javascript", "ecmascript", "jscript", "css", "wasm", "manifest", "x-xpinstall", "vbscript"} {
		if strings.Contains(kind, part) {
			return true
		}
	}
	return false
}

// plainName is the last part of a path as every system may take it for the name of a file: without control characters, and
// without what some take for a folder.
func plainName(name string) string {
	return cleanPath(path.Base(name))
}

// cleanPath keeps the slashes of a path, and nothing that another system would take for one, for a drive, or for a command
// to a terminal.
func cleanPath(name string) string {
	clean := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\\' || r == utf8.RuneError {
			return '_'
		}
		return r
	}, name)
	if len(clean) > 1 && clean[1] == ':' { // C:
		clean = clean[:1] + "_" + clean[2:]
	}
	return clean
}

// disposition names the file for a browser that saves it. What could be a page is only
// ever saved.
func disposition(name string, download bool) string {
	kind := "attachment"
	mt, _, _ := strings.Cut(MediaType(name), ";")
	switch {
	case download, mt == mediaHTML, strings.HasSuffix(mt, "/xml"), mt == "application/xhtml+xml":
	case strings.HasPrefix(mt, "text/"), strings.HasPrefix(mt, "image/"), mt == "application/pdf", mt == mediaJSON:
		kind = "inline"
	}
	base := plainName(name)
	plain := strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e || r == '"' || r == '\\' {
			return '_'
		}
		return r
	}, base)
	return kind + `; filename="` + plain + `"; filename*=UTF-8''` + url.PathEscape(base)
}
