package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"
)

// A node is a JSON value that remembers its position in the text, so that a message can point at
// it. encoding/json reads the tokens, but does not keep their positions.
type node struct {
	kind   nodeKind
	offset int
	text   string // of a string, or the digits of a number
	truth  bool
	items  []*node
	fields []nodeField
	byName map[string]*node // the fields' values, for an object with many
}

type nodeField struct {
	name   string
	offset int
	value  *node
}

type nodeKind string

const (
	kindObject nodeKind = "an object"
	kindList   nodeKind = "a list"
	kindString nodeKind = "a string"
	kindNumber nodeKind = "a number"
	kindBool   nodeKind = "true or false"
	kindNull   nodeKind = "null"
)

const maxDepth = 16

type nodeError struct {
	offset  int
	message string
}

// Up to fewFields, a linear search is as fast as a map.
const fewFields = 8

func (n *node) field(name string) *node {
	if n.byName != nil {
		return n.byName[name]
	}
	for i := range n.fields {
		if n.fields[i].name == name {
			return n.fields[i].value
		}
	}
	return nil
}

func (n *node) addField(f nodeField) {
	n.fields = append(n.fields, f)
	switch {
	case n.byName != nil:
		n.byName[f.name] = f.value
	case len(n.fields) > fewFields:
		n.byName = make(map[string]*node, 2*len(n.fields))
		for _, f := range n.fields {
			n.byName[f.name] = f.value
		}
	}
}

// at is the position of a field's value, or of the node itself if there is none.
func (n *node) at(name string) int {
	if f := n.field(name); f != nil {
		return f.offset
	}
	return n.offset
}

type nodeReader struct {
	text []byte
	dec  *json.Decoder
}

func parseNode(text []byte) (*node, *nodeError) {
	if !utf8.Valid(text) {
		return nil, &nodeError{0, "the text is not UTF-8"}
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, &nodeError{0, "the plan is empty"}
	}
	r := &nodeReader{text: text, dec: json.NewDecoder(bytes.NewReader(text))}
	r.dec.UseNumber()
	root, err := r.value(0)
	if err != nil {
		return nil, err
	}
	if rest := r.next(); rest < len(text) {
		return nil, &nodeError{rest, "there is more text after the end of the plan"}
	}
	return root, nil
}

// next is where the next token starts.
func (r *nodeReader) next() int {
	i := int(r.dec.InputOffset())
	for i < len(r.text) && strings.IndexByte(" \t\r\n,:", r.text[i]) >= 0 {
		i++
	}
	return i
}

func (r *nodeReader) token() (json.Token, int, *nodeError) {
	offset := r.next()
	tok, err := r.dec.Token()
	if err == nil {
		return tok, offset, nil
	}
	message := err.Error()
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		offset = max(offset, int(syntax.Offset)-1)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		offset, message = len(r.text), "the text ends too early"
	}
	return nil, 0, &nodeError{offset, "this is not JSON: " + message}
}

func (r *nodeReader) value(depth int) (*node, *nodeError) {
	tok, offset, err := r.token()
	if err != nil {
		return nil, err
	}
	if depth > maxDepth {
		return nil, &nodeError{offset, fmt.Sprintf("values are nested more than %d deep", maxDepth)}
	}
	n := &node{offset: offset}
	switch t := tok.(type) {
	case string:
		n.kind, n.text = kindString, t
	case json.Number:
		n.kind, n.text = kindNumber, t.String()
	case bool:
		n.kind, n.truth = kindBool, t
	case nil:
		n.kind = kindNull
	case json.Delim:
		if t == '{' {
			n.kind = kindObject
			return n, r.object(n, depth)
		}
		n.kind = kindList
		return n, r.list(n, depth)
	}
	return n, nil
}

func (r *nodeReader) object(n *node, depth int) *nodeError {
	for r.dec.More() {
		key, offset, err := r.token()
		if err != nil {
			return err
		}
		name, _ := key.(string)
		if n.field(name) != nil {
			return &nodeError{offset, "the field " + quoted(name) + " is given twice"}
		}
		value, err := r.value(depth + 1)
		if err != nil {
			return err
		}
		n.addField(nodeField{name, offset, value})
	}
	_, _, err := r.token()
	return err
}

func (r *nodeReader) list(n *node, depth int) *nodeError {
	for r.dec.More() {
		item, err := r.value(depth + 1)
		if err != nil {
			return err
		}
		n.items = append(n.items, item)
	}
	_, _, err := r.token()
	return err
}

// fields maps the names that an object may have to the functions that read their values.
type fields map[string]func(n *node, at string)

func (p *planParser) object(n *node, at string, known fields, required ...string) bool {
	if !p.is(n, at, kindObject, "") {
		return false
	}
	for _, f := range n.fields {
		if p.full() {
			return true
		}
		here := brief(f.name)
		if at != "" {
			here = at + "." + here
		}
		read, ok := known[f.name]
		if !ok {
			names := make([]string, 0, len(known))
			//workflowcheck:ignore sorted below
			for name := range known {
				names = append(names, name)
			}
			sort.Strings(names)
			p.add(f.offset, here, fmt.Sprintf("there is no field %s here; allowed are %s", quoted(f.name), strings.Join(names, ", ")), f.name)
			continue
		}
		read(f.value, here)
	}
	for _, name := range required {
		if n.field(name) == nil {
			p.add(n.offset, at, fmt.Sprintf("the field %q is missing", name), nil)
		}
	}
	return true
}

func (p *planParser) is(n *node, at string, want nodeKind, meaning string) bool {
	if n.kind == want {
		return true
	}
	message := fmt.Sprintf("this is %s; it must be %s", n.kind, want)
	if meaning != "" {
		message += " (" + meaning + ")"
	}
	var value any
	if n.kind == kindString || n.kind == kindNumber {
		value = n.text
	}
	p.add(n.offset, at, message, value)
	return false
}

func (p *planParser) list(n *node, at string) ([]*node, bool) {
	return n.items, p.is(n, at, kindList, "")
}

func (p *planParser) boolean(n *node, at string) bool {
	return p.is(n, at, kindBool, "") && n.truth
}

func (p *planParser) nonEmpty(n *node, at string) string {
	if !p.is(n, at, kindString, "") {
		return ""
	}
	if strings.TrimSpace(n.text) == "" || strings.ContainsRune(n.text, 0) {
		p.add(n.offset, at, "this must be text that is not empty and has no NUL", nil)
	}
	return n.text
}

// line reads one line of text for people.
func (p *planParser) line(n *node, at string, most int) string {
	s := p.nonEmpty(n, at)
	if utf8.RuneCountInString(s) > most {
		p.add(n.offset, at, fmt.Sprintf("this has %d characters; at most %d are allowed", utf8.RuneCountInString(s), most), s)
	}
	return s
}

func (p *planParser) matching(n *node, at string, pattern *regexp.Regexp, rule string) string {
	if !p.is(n, at, kindString, "") {
		return ""
	}
	if !pattern.MatchString(n.text) {
		p.add(n.offset, at, rule, n.text)
		return ""
	}
	return n.text
}

func (p *planParser) oneOf(n *node, at string, allowed ...string) string {
	if !p.is(n, at, kindString, strings.Join(allowed, ", ")) {
		return ""
	}
	if !slices.Contains(allowed, n.text) {
		p.add(n.offset, at, "allowed are "+strings.Join(allowed, ", "), n.text)
	}
	return n.text
}

func (p *planParser) number(n *node, at string, low, high float64, whole bool) float64 {
	if !p.is(n, at, kindNumber, "") {
		return 0
	}
	v, err := json.Number(n.text).Float64()
	if err != nil || v < low || v > high || (whole && v != math.Trunc(v)) {
		kind := "a number"
		if whole {
			kind = "a whole number"
		}
		p.add(n.offset, at, fmt.Sprintf("this must be %s from %g to %g", kind, low, high), n.text)
		return 0
	}
	return v
}

func (p *planParser) strings(n *node, at string) []string {
	items, ok := p.list(n, at)
	if !ok {
		return nil
	}
	out := make([]string, 0, len(items))
	for i, item := range items {
		if item.kind != kindString {
			p.is(item, fmt.Sprintf("%s[%d]", at, i), kindString, "")
			return nil
		}
		out = append(out, item.text)
	}
	return out
}

// command reads a program and its arguments.
func (p *planParser) command(n *node, at string) []string {
	args := p.strings(n, at)
	if n.kind == kindList && (len(n.items) == 0 || (len(args) > 0 && strings.TrimSpace(args[0]) == "")) {
		p.add(n.offset, at, "this must name a program, then its arguments", nil)
	}
	for i, arg := range args {
		if strings.ContainsRune(arg, 0) && !p.full() {
			p.add(n.items[i].offset, fmt.Sprintf("%s[%d]", at, i), "an argument has no NUL", nil)
		}
	}
	return args
}
