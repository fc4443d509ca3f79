package settings

import (
	"log/slog"
	"math"
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast/holdfast/logs"
	"github.com/holdfast/holdfast/schema"
	"github.com/holdfast/holdfast/snapshot/clouds"
)

// none is shown for an unset setting.
const none = "none"

// The rules: each returns a parse function that stores a valid value.

func text(to *string) func(string) bool {
	return func(s string) bool { *to = s; return true }
}

func folder(to *string) func(string) bool {
	return func(s string) bool {
		if strings.ContainsRune(s, 0) {
			return false
		}
		abs, err := filepath.Abs(s)
		if err != nil {
			return false
		}
		*to = abs
		return true
	}
}

func hostPort(to *string) func(string) bool {
	return func(s string) bool {
		_, port, err := net.SplitHostPort(s)
		if err != nil {
			return false
		}
		if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
			return false
		}
		*to = s
		return true
	}
}

func webURL(to *string) func(string) bool {
	return func(s string) bool {
		u, err := url.Parse(s)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
			return false
		}
		*to = strings.TrimRight(s, "/")
		return true
	}
}

func postgresURL(to *string) func(string) bool {
	return func(s string) bool {
		u, err := url.Parse(s)
		if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") || (u.Host == "" && u.Query().Get("host") == "") {
			return false
		}
		*to = s
		return true
	}
}

// allowedBlobURL says what this build can open. The clouds' drivers are in some builds only.
func allowedBlobURL() string {
	if clouds.Included {
		return "file:///some/folder, s3://bucket, gs://bucket or azblob://container"
	}
	return "file:///some/folder; this build lacks the drivers for s3://, gs:// and azblob://, which the build holdfast-clouds has"
}

func blobURL(to *string) func(string) bool {
	return func(s string) bool {
		u, err := url.Parse(s)
		if err != nil {
			return false
		}
		switch u.Scheme {
		case "file":
			if u.Host != "" || !strings.HasPrefix(u.Path, "/") || strings.ContainsRune(u.Path, 0) {
				return false
			}
		case "s3", "gs", "azblob":
			if u.Host == "" || !clouds.Included {
				return false
			}
		default:
			return false
		}
		*to = s
		return true
	}
}

// commaList reads a comma-separated list: add appends one item, without the spaces around it, or
// returns false when it is invalid.
func commaList(to *[]string, add func(list []string, item string) ([]string, bool)) func(string) bool {
	return func(s string) bool {
		var list []string
		for item := range strings.SplitSeq(s, ",") {
			var ok bool
			if list, ok = add(list, strings.TrimSpace(item)); !ok {
				return false
			}
		}
		*to = list
		return true
	}
}

func origins(to *[]string) func(string) bool {
	return commaList(to, func(list []string, item string) ([]string, bool) {
		u, err := url.Parse(item)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || strings.TrimRight(u.Path, "/") != "" {
			return nil, false
		}
		return append(list, u.Scheme+"://"+u.Host), true
	})
}

var namePattern = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?$`)

// hostNames takes what may be in a request's Host.
func hostNames(to *[]string) func(string) bool {
	return commaList(to, func(list []string, item string) ([]string, bool) {
		item = strings.ToLower(item)
		name := item
		if host, port, err := net.SplitHostPort(item); err == nil {
			if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
				return nil, false
			}
			name = host
		}
		if net.ParseIP(strings.Trim(name, "[]")) == nil && !namePattern.MatchString(name) {
			return nil, false
		}
		return append(list, item), true
	})
}

func duration(to *time.Duration, low, high time.Duration) func(string) bool {
	return func(s string) bool {
		d, err := schema.ParseDuration(s)
		if err != nil {
			n, numErr := strconv.ParseUint(s, 10, 32) // a bare number is seconds
			if numErr != nil {
				return false
			}
			d = time.Duration(n) * time.Second
		}
		if d < low || d > high {
			return false
		}
		*to = d
		return true
	}
}

// orNever takes 0, in any unit, or any other duration that parse takes.
func orNever(to *time.Duration, parse func(string) bool) func(string) bool {
	return func(s string) bool {
		if duration(to, 0, 0)(s) {
			return true
		}
		return parse(s)
	}
}

func whole(to *int, low, high int) func(string) bool {
	return func(s string) bool {
		n, err := strconv.Atoi(s)
		if err != nil || n < low || n > high {
			return false
		}
		*to = n
		return true
	}
}

var sizePattern = regexp.MustCompile(`^([0-9]{1,15})([KMGT]i?)?B?$`)

// byteSize takes a number of bytes, with decimal or binary units.
func byteSize(to *int64) func(string) bool {
	return func(s string) bool {
		m := sizePattern.FindStringSubmatch(s)
		if m == nil {
			return false
		}
		n, err := strconv.ParseInt(m[1], 10, 64)
		unit := map[string]int64{"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40}[m[2]]
		if err != nil || n > math.MaxInt64/unit {
			return false
		}
		*to = n * unit
		return true
	}
}

func count(to *int64, high int64) func(string) bool {
	return func(s string) bool {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n < 0 || n > high {
			return false
		}
		*to = n
		return true
	}
}

func logFormat(to *logs.Format) func(string) bool {
	return func(s string) bool {
		switch f := logs.Format(strings.ToLower(s)); f {
		case logs.FormatAuto, logs.FormatText, logs.FormatJSON:
			*to = f
			return true
		default:
			return false
		}
	}
}

func logLevel(to *slog.Level) func(string) bool {
	return func(s string) bool {
		level, ok := map[string]slog.Level{
			"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
		}[strings.ToLower(s)]
		if ok {
			*to = level
		}
		return ok
	}
}

var hostPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$`)

func hostName(to *string) func(string) bool {
	return func(s string) bool {
		if !hostPattern.MatchString(s) {
			return false
		}
		*to = s
		return true
	}
}

func buildID(to *string) func(string) bool {
	return func(s string) bool {
		// Temporal's CLI and `holdfast rollout` use these names for workers without a build.
		return s != "unversioned" && s != "__unversioned__" && hostName(to)(s)
	}
}

const masked = "********"

func maskAll(string) string { return masked }

// maskURL hides a URL's password, wherever in the URL it is.
func maskURL(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return masked
	}
	if _, has := u.User.Password(); has {
		u.User = url.UserPassword(u.User.Username(), "xxxxx")
	}
	if q := u.Query(); q.Has("password") {
		q.Set("password", "xxxxx")
		u.RawQuery = q.Encode()
	}
	return u.String()
}
