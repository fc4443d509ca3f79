package web

import (
	"bytes"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/web/problem"
)

// The guards look at what a request is, never at how its path is spelt: each holds for every path there is.

// guardFraming refuses requests that a proxy in front may read in another way than this server does, and closes their
// connection: what follows on it may be a part of them.
func (s *Server) guardFraming(c *fiber.Ctx) error {
	if wrong := misframed(c.Request()); wrong != "" {
		c.Context().SetConnectionClose()
		return problem.New(c.UserContext(), http.StatusBadRequest, schema.CodeInvalid, wrong, nil)
	}
	return c.Next()
}

func misframed(req *fasthttp.Request) string {
	var hosts, lengths, encodings int
	for line := range bytes.Lines(req.Header.RawHeaders()) {
		line = bytes.TrimRight(line, "\r\n")
		name, _, ok := bytes.Cut(line, []byte(":"))
		switch {
		case len(line) == 0:
			continue
		case !ok || bytes.ContainsAny(name, " \t"):
			return "a header has a name, a colon without space before it, and a value, on one line"
		case bytes.EqualFold(name, []byte(fiber.HeaderHost)):
			hosts++
		case bytes.EqualFold(name, []byte(fiber.HeaderContentLength)):
			lengths++
		case bytes.EqualFold(name, []byte(fiber.HeaderTransferEncoding)):
			encodings++
		}
	}
	switch {
	case hosts > 1 || (hosts == 0 && req.Header.IsHTTP11()):
		return "a request has one Host"
	case lengths+encodings > 1:
		return "a request has one Content-Length or one Transfer-Encoding, not both"
	case !bytes.EqualFold(req.URI().Host(), req.Header.Host()):
		// http://a/ and //a/ in place of a path name a host of their own.
		return "the address and the Host of a request name the same server"
	default:
		return ""
	}
}

// guardHost refuses names that a page elsewhere could have made point at this machine (DNS rebinding): a server answers
// to loopback names and to those that it was told.
func (s *Server) guardHost(c *fiber.Ctx) error {
	securityHeaders(c)
	host := string(c.Request().Header.Host())
	if s.answersTo(host) {
		return c.Next()
	}
	return schema.Errorf(schema.CodeForbidden, "this server does not answer to the name %q; use localhost, 127.0.0.1 or a name of HOLDFAST_ALLOWED_HOSTS", schema.Brief(host))
}

func (s *Server) answersTo(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	if isLoopback(name) || (s.loopback && (host == s.opts.Addr || host == s.Addr())) {
		return true
	}
	for _, allowed := range s.opts.AllowedHosts {
		if strings.EqualFold(allowed, host) || strings.EqualFold(strings.Trim(allowed, "[]"), strings.Trim(name, "[]")) {
			return true
		}
	}
	return false
}

func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return strings.EqualFold(host, "localhost") || (ip != nil && ip.IsLoopback())
}

// guardOrigin refuses what pages of other sites ask for, except that somebody follows their link to a page of ours. A
// page is the server's own, or one of HOLDFAST_ALLOWED_ORIGINS. Browsers say which page asks: with every request but
// plain GETs by Origin, with those by Sec-Fetch-Site.
func (s *Server) guardOrigin(c *fiber.Ctx) error {
	if !changes(c) && c.Get(fiber.HeaderUpgrade) == "" && c.Get("Sec-Fetch-Mode") == "navigate" && c.Get("Sec-Fetch-Dest") == "document" {
		return c.Next()
	}
	origins := c.Request().Header.PeekAll(fiber.HeaderOrigin)
	for _, origin := range origins {
		if len(origins) > 1 || !s.allowsOrigin(string(origin), string(c.Request().Header.Host())) {
			return schema.Errorf(schema.CodeForbidden, "pages of %q may not do this; the server's own and HOLDFAST_ALLOWED_ORIGINS may", schema.Brief(string(origin)))
		}
	}
	if site := c.Get("Sec-Fetch-Site"); len(origins) == 0 && site != "" && site != "same-origin" && site != "none" {
		return schema.Errorf(schema.CodeForbidden, "pages of other sites may not do this")
	}
	return c.Next()
}

// changes reports whether a request may change something.
func changes(c *fiber.Ctx) bool {
	return c.Method() != http.MethodGet && c.Method() != http.MethodHead
}

func (s *Server) allowsOrigin(origin, host string) bool {
	for _, allowed := range s.opts.AllowedOrigins {
		if strings.EqualFold(strings.TrimSuffix(allowed, "/"), origin) {
			return true
		}
	}
	u, err := url.Parse(origin)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && strings.EqualFold(u.Host, host)
}

// guardType refuses bodies that are not JSON. A page of another site can send those of a form without being asked, and
// no other.
func (s *Server) guardType(c *fiber.Ctx) error {
	kind := c.Get(fiber.HeaderContentType)
	if !changes(c) || (kind == "" && len(c.Request().Body()) == 0) {
		return c.Next()
	}
	if media, _, err := mime.ParseMediaType(kind); err == nil && media == fiber.MIMEApplicationJSON {
		return c.Next()
	}
	return problem.New(c.UserContext(), http.StatusUnsupportedMediaType, schema.CodeInvalid, problem.NotJSON, nil)
}
