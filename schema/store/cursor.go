package store

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/holdfast/holdfast/schema"
)

// Page sizes of lists.
const (
	DefaultPage = 50
	MaxPage     = 200
)

func page(limit int) int {
	if limit <= 0 {
		return DefaultPage
	}
	return min(limit, MaxPage)
}

// pageEnd is where a page of a list sorted by (created_at, id) ends. As a cursor it is opaque to the caller.
type pageEnd struct {
	at time.Time
	id string
}

func (p pageEnd) cursor() string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(p.at.UnixMicro(), 36) + " " + p.id))
}

func parseCursor(cursor string) (pageEnd, error) {
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err == nil {
		at, id, _ := strings.Cut(string(text), " ")
		var micros int64
		if micros, err = strconv.ParseInt(at, 36, 64); err == nil && schema.ValidID(id) && plausible(micros) {
			return pageEnd{at: time.UnixMicro(micros).UTC(), id: id}, nil
		}
	}
	return pageEnd{}, badCursor(cursor)
}

// plausible keeps a made-up cursor within the years that Postgres can hold.
func plausible(micros int64) bool {
	const year9999 = 253402300799 * 1_000_000
	return micros >= 0 && micros <= year9999
}

// withIDPrefix restricts a query to ids that begin with prefix, "" for any, by a range of the index on the column.
func withIDPrefix(q *bun.SelectQuery, column bun.Ident, prefix string) (*bun.SelectQuery, error) {
	if prefix == "" {
		return q, nil
	}
	first, last, ok := schema.IDRange(prefix)
	if !ok {
		return nil, &schema.Error{
			Code: schema.CodeInvalid, Message: fmt.Sprintf("%.40q is not the beginning of an id", prefix),
			Fields: []schema.FieldError{{
				Location: "query.id_prefix", Value: prefix,
				Message: fmt.Sprintf("give the first %d or more characters of an id: 0 to 9, a to f, and - where an id has it", schema.MinIDPrefix),
			}},
		}
	}
	return q.Where("? BETWEEN ?::uuid AND ?::uuid", column, first, last), nil
}

func badCursor(cursor string) error {
	return &schema.Error{
		Code: schema.CodeInvalid, Message: "the cursor is not one that a list has answered with",
		Fields: []schema.FieldError{{Location: "query.cursor", Message: "use next_cursor of the page before", Value: cursor}},
	}
}
