package wire

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/holdfast/holdfast/schema"
)

const (
	inFrame  = "frame." // location prefix of a fault in a frame
	jsonNull = "null"
)

// Decode reads a client's frame strictly: it refuses unknown fields, missing ones, null (other than for modifications) and
// values out of bounds with [schema.CodeInvalid]. It returns the request id even with an error, if it
// could read it.
func Decode(text []byte) (frame ClientFrame, requestID string, err error) {
	if !utf8.Valid(text) {
		return nil, "", schema.Errorf(schema.CodeInvalid, "a frame must be valid UTF-8")
	}
	var given map[string]json.RawMessage
	if err := json.Unmarshal(text, &given); err != nil || given == nil {
		return nil, "", schema.Errorf(schema.CodeInvalid, "a frame is a JSON object with a type, such as {\"type\":\"ping\"}")
	}
	var h Header
	wrong := headerFields.read(given, reflect.ValueOf(&h).Elem())
	if requestID = h.RequestID; slices.ContainsFunc(wrong, func(f schema.FieldError) bool { return f.Location == inFrame+"request_id" }) {
		requestID = ""
	}
	if len(wrong) > 0 {
		return nil, requestID, schema.Invalid(wrong)
	}
	shape, ok := shapes[h.Type]
	if !ok {
		return nil, requestID, schema.Invalid([]schema.FieldError{{Location: inFrame + "type", Message: "allowed are " + allTypes, Value: schema.Brief(h.Type)}})
	}
	if wrong := shape.fields.names(given, h.Type); len(wrong) > 0 {
		return nil, requestID, schema.Invalid(wrong)
	}
	made := reflect.New(shape.of)
	wrong = shape.fields.read(given, made.Elem())
	if c, checks := reflect.TypeAssert[interface{ check() []schema.FieldError }](made); checks && len(wrong) == 0 {
		wrong = c.check()
	}
	if len(wrong) > 0 {
		return nil, requestID, schema.Invalid(wrong)
	}
	return made.Interface().(ClientFrame), requestID, nil //nolint:errcheck // the table holds nothing else, as a test says
}

// shape describes the frames of a type.
type shape struct {
	of     reflect.Type
	fields fields
}

var (
	shapes, allTypes = shapesOf(ClientFrames)
	headerFields     = fieldsOf(reflect.TypeFor[Header]())
)

func shapesOf(table []ClientFrameType) (map[string]shape, string) {
	all, names := map[string]shape{}, make([]string, 0, len(table))
	for _, row := range table {
		t := reflect.TypeOf(row.Frame)
		all[row.Type] = shape{t, fieldsOf(t)}
		names = append(names, row.Type)
	}
	return all, strings.Join(names, ", ")
}

// field is one field of a frame, with the rules of its tags.
type field struct {
	name     string
	index    []int
	required bool
	bytes    int // at most; 0 for no bound
	runes    int // the same, in characters
	minimum  int64
	enum     []string
}

type fields []field

func fieldsOf(t reflect.Type) fields {
	var all fields
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous {
			continue // the header, whose fields are listed on their own
		}
		if name == "" || !decodable(f.Type) {
			panic("wire: the field " + f.Name + " of " + t.String() + " has no name in JSON, or a type that frames do not have yet")
		}
		one := field{name: name, index: f.Index, required: !strings.Contains(options, "omit")}
		one.bytes, _ = strconv.Atoi(f.Tag.Get("maxBytes"))
		one.runes, _ = strconv.Atoi(f.Tag.Get("maxLength"))
		one.minimum, _ = strconv.ParseInt(f.Tag.Get("minimum"), 10, 64)
		if list := f.Tag.Get("enum"); list != "" {
			one.enum = strings.Split(list, ",")
		}
		all = append(all, one)
	}
	return all
}

// decodable reports whether [field.set] knows a type.
func decodable(t reflect.Type) bool {
	return t == reflect.TypeFor[json.RawMessage]() || t.Kind() == reflect.String || t.Kind() == reflect.Int64 || t == reflect.TypeFor[*bool]()
}

// names says which fields there should not be, and which are missing.
func (all fields) names(given map[string]json.RawMessage, kind string) (wrong []schema.FieldError) {
	unknown := maps.Clone(given)
	for i := range all {
		f := &all[i]
		if _, there := given[f.name]; f.required && !there {
			wrong = append(wrong, schema.FieldError{Location: inFrame + f.name, Message: "this is missing"})
		}
		delete(unknown, f.name)
	}
	for _, name := range slices.Sorted(maps.Keys(unknown)) {
		wrong = append(wrong, schema.FieldError{Location: inFrame + name, Message: "there is no such field in a frame of type " + kind})
	}
	return wrong
}

// read sets the fields of a struct from what is given.
func (all fields) read(given map[string]json.RawMessage, into reflect.Value) (wrong []schema.FieldError) {
	for i := range all {
		f := &all[i]
		raw, there := given[f.name]
		if !there {
			continue
		}
		if message, value := f.set(raw, into.FieldByIndex(f.index)); message != "" {
			wrong = append(wrong, schema.FieldError{Location: inFrame + f.name, Message: message, Value: schema.Brief(value)})
		}
	}
	return wrong
}

// set decodes a value, or says what it must be instead.
func (f *field) set(raw json.RawMessage, into reflect.Value) (message string, value any) {
	if into.Type() == reflect.TypeFor[json.RawMessage]() {
		into.SetBytes(raw)
		return "", nil
	}
	failed := string(raw) == jsonNull || json.Unmarshal(raw, into.Addr().Interface()) != nil
	switch into.Kind() { // those that are decodable
	case reflect.String:
		if failed {
			return "this must be a string", nil
		}
		return f.text(into.String())
	case reflect.Int64:
		if failed || into.Int() < f.minimum {
			return fmt.Sprintf("this must be a whole number, %d or more", f.minimum), nil
		}
	case reflect.Pointer:
		if failed {
			return "this must be true or false", nil
		}
	default: // decodable lets no other through
	}
	return "", nil
}

// text holds a string to its rules.
func (f *field) text(s string) (message string, value any) {
	switch {
	case f.bytes > 0 && len(s) > f.bytes:
		return fmt.Sprintf("this has more than %d bytes", f.bytes), nil
	case f.runes > 0 && utf8.RuneCountInString(s) > f.runes:
		return fmt.Sprintf("this has more than %d characters", f.runes), nil
	case strings.ContainsRune(s, 0):
		return schema.NoNUL, nil
	case f.enum != nil && !slices.Contains(f.enum, s):
		return "allowed are " + strings.Join(f.enum, ", "), s
	}
	return "", nil
}
