package schema_test

import (
	"encoding/json"
	"testing"

	"github.com/holdfast/holdfast/schema"
)

// People see the context as it was written, with the options beside it.
func TestQuestion_AboutHasItsContextAndItsOptions(t *testing.T) {
	t.Parallel()
	for context, want := range map[string][2]string{ // without options, and with
		``:                              {``, `{"options":["a","b"]}`},
		`null`:                          {`null`, `{"context":null,"options":["a","b"]}`},
		`[1, 2]`:                        {`[1,2]`, `{"context":[1,2],"options":["a","b"]}`},
		`{"n": 12345678901234567890.5}`: {`{"n":12345678901234567890.5}`, `{"n":12345678901234567890.5,"options":["a","b"]}`},
	} {
		for i, options := range [][]string{nil, {"a", "b"}} {
			q := schema.Question{Context: json.RawMessage(context), Options: options}
			if got, err := q.Details(); err != nil || string(got) != want[i] {
				t.Errorf("%s with %d options: %s, %v", context, len(options), got, err)
			}
		}
	}
}
