//go:build unix

package supervisor

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/schema"
)

// What a program asks is bounded where it is taken in: nothing that cannot be recorded or shown
// gets any further.
func TestAsk_BoundsTheContext(t *testing.T) {
	t.Parallel()
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for name, c := range map[string]struct {
		context string
		allowed bool
	}{
		"as deep as it may be": {nested(schema.MaxJSONDepth), true},
		"deeper":               {nested(schema.MaxJSONDepth + 1), false},
		"9,999 deep":           {nested(9_990), false},
		"as long as it may be": {`"` + strings.Repeat("x", schema.MaxAskContext-2) + `"`, true},
		"longer":               {`"` + strings.Repeat("x", schema.MaxAskContext-1) + `"`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAsks(&Spec{})
			told := 0
			a.tell = func(r Report) {
				told++
				a.answer(Answer{ID: r.Ask.ID, Outcome: OutcomeApproved})
			}
			w := httptest.NewRecorder()
			a.serveAsk(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/ask", strings.NewReader(`{"question":"Really?","context":`+c.context+`}`)))
			if allowed := w.Code == http.StatusOK; allowed != c.allowed || (told == 1) != c.allowed {
				t.Fatalf("%d: %s; %d questions went on", w.Code, w.Body, told)
			}
		})
	}
}
