package wire

import (
	"reflect"
	"testing"
)

// What Decode cannot read is found when the program starts, not when the first client sends it.
func TestFieldsOf_RefusesWhatCannotBeDecoded(t *testing.T) {
	t.Parallel()
	for name, frame := range map[string]any{
		"an int": struct {
			Count int `json:"count,omitempty"`
		}{},
		"a pointer to a string": struct {
			Name *string `json:"name"`
		}{},
		"no name": struct{ Name string }{},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s was taken", name)
				}
			}()
			fieldsOf(reflect.TypeOf(frame))
		}()
	}
}
