package terminal

import (
	"strings"
	"unicode"
)

// Cleaner makes a stream of text safe to print, even if the end of a chunk cuts an escape
// sequence in two. The zero value drops every escape sequence.
type Cleaner struct {
	// Keep lets colours (SGR), erasing within the line and moves within the line through.
	Keep bool
	// Colours lets only colours through.
	Colours bool
	// Plain removes colours from what Keep lets through.
	Plain bool

	state  cleanState
	params []rune
}

type cleanState string

const (
	ground       cleanState = ""
	escape       cleanState = "escape"       // after ESC
	intermediate cleanState = "intermediate" // ESC and a byte that wants another
	control      cleanState = "control"      // a control sequence: ESC [ parameters
	text         cleanState = "text"         // a string sequence (OSC, DCS, …) up to its end
	textEscape   cleanState = "text escape"  // ESC within one
)

// maxParams bounds the control sequences it lets through; it drops longer ones.
const maxParams = 64

// Clean returns the part of a chunk that is safe to print.
func (c *Cleaner) Clean(chunk string) string {
	if c.state == ground && plain(chunk) {
		return chunk
	}
	var b strings.Builder
	b.Grow(len(chunk))
	for _, r := range chunk {
		c.rune(&b, r)
	}
	return b.String()
}

// plain reports whether a chunk is ASCII text without controls, as most output is.
func plain(chunk string) bool {
	for i := range len(chunk) {
		if b := chunk[i]; b >= 0x7f || (b < 0x20 && b != '\n' && b != '\r' && b != '\t') {
			return false
		}
	}
	return true
}

func (c *Cleaner) rune(b *strings.Builder, r rune) {
	switch c.state {
	case ground:
		c.ground(b, r)
	case escape:
		c.escape(b, r)
	case intermediate:
		if r < 0x20 || r > 0x2f {
			c.state = ground
		}
	case control:
		c.control(b, r)
	case text:
		switch r {
		case 0x07, 0x9c, 0x18, 0x1a: // BEL and ST end it; CAN and SUB abort it
			c.state = ground
		case '\n': // no such string holds a line feed: an open one must not swallow the rest
			c.state = ground
			b.WriteRune(r)
		case 0x1b:
			c.state = textEscape
		}
	case textEscape:
		c.state = ground
		if r != '\\' {
			c.escape(b, r)
		}
	}
}

func (c *Cleaner) ground(b *strings.Builder, r rune) {
	switch {
	case r == 0x1b:
		c.state = escape
	case r == 0x9b:
		c.state, c.params = control, c.params[:0]
	case r == 0x90 || r == 0x98 || r == 0x9d || r == 0x9e || r == 0x9f:
		c.state = text
	case r == '\n' || r == '\r' || r == '\t':
		b.WriteRune(r)
	case r == '\b':
		if c.Keep {
			b.WriteRune(r)
		}
	case r < 0x20 || (r >= 0x7f && r < 0xa0):
	case unicode.Is(unicode.Bidi_Control, r): // it reorders the text around it, which then reads as something else
	default:
		b.WriteRune(r)
	}
}

func (c *Cleaner) escape(b *strings.Builder, r rune) {
	switch {
	case r == '[':
		c.state, c.params = control, c.params[:0]
	case strings.ContainsRune("]PX^_", r):
		c.state = text
	case r >= 0x20 && r <= 0x2f:
		c.state = intermediate
	case r == 0x1b:
		c.state = escape
	case r < 0x20:
		c.state = ground
		c.ground(b, r)
	default:
		c.state = ground
	}
}

func (c *Cleaner) control(b *strings.Builder, r rune) {
	switch {
	case r >= 0x20 && r <= 0x3f:
		c.params = append(c.params, r)
	case r >= 0x40 && r <= 0x7e:
		c.state = ground
		if len(c.params) <= maxParams && c.allowed(string(c.params), r) {
			b.WriteString("\x1b[" + string(c.params) + string(r))
		}
		c.params = c.params[:0]
	case r == 0x1b:
		c.state = escape
	default:
		c.state = ground
		c.ground(b, r)
	}
}

// allowed control sequences stay within the line and expect no answer: colours (m), erase in
// line (K), and moves to a column, right and left (G, C, D).
func (c *Cleaner) allowed(params string, final rune) bool {
	finals := ""
	switch {
	case c.Keep && c.Plain:
		finals = "KGCD"
	case c.Keep:
		finals = "mKGCD"
	case c.Colours:
		finals = "m"
	}
	return strings.ContainsRune(finals, final) && strings.Trim(params, "0123456789;:") == ""
}

// Clean makes a text one line, without escape sequences or line ends.
func Clean(s string) string {
	return strings.Join(strings.Fields(new(Cleaner).Clean(s)), " ")
}

// CleanLines makes a text of several lines safe, without escape sequences.
func CleanLines(s string) string {
	return strings.ReplaceAll(new(Cleaner).Clean(s), "\r", "")
}

// LastWritten is what a terminal shows of a line with carriage returns.
func LastWritten(line string) string {
	line = strings.TrimRight(line, "\r")
	return line[strings.LastIndexByte(line, '\r')+1:]
}
