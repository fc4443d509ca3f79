package schema

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
)

// NewID returns a random UUID (version 4, RFC 9562) in lower-case text form.
func NewID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand aborts the program instead
	return formatUUID(b, 4)
}

// DeriveID returns a UUID (version 8, RFC 9562: vendor specific) that is a pure function of its
// parts. Everything below a session is named this way, so that a repetition names the same thing: a
// retried activity finds its own row instead of adding one.
func DeriveID(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	var b [16]byte
	copy(b[:], sum[:16])
	return formatUUID(b, 8)
}

// RunID names the run with this number (1, 2, …) of a session.
func RunID(sessionID string, number int) string {
	return DeriveID("run", sessionID, strconv.Itoa(number))
}

// ApprovalID names the nth approval (1, 2, …) that a session has asked for.
func ApprovalID(sessionID string, ordinal int) string {
	return DeriveID("approval", sessionID, strconv.Itoa(ordinal))
}

// AskID names the approval that a step asks for under a request id of its own.
func AskID(runID, stepID, requestID string) string {
	return DeriveID("ask", runID, stepID, requestID)
}

// ValidID reports whether s is a UUID in lower-case text form.
func ValidID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, c := range []byte(s) {
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
				return false
			}
		}
	}
	return true
}

// MinIDPrefix is the shortest prefix of an id that may stand for it.
const MinIDPrefix = 4

// IDRange returns the first and last id that begin with prefix, which is [MinIDPrefix] or more
// characters of an id in lower-case text form; otherwise ok is false.
func IDRange(prefix string) (first, last string, ok bool) {
	const zero = "00000000-0000-0000-0000-000000000000"
	if len(prefix) < MinIDPrefix || len(prefix) > len(zero) {
		return "", "", false
	}
	first = prefix + zero[len(prefix):]
	return first, prefix + strings.ReplaceAll(zero[len(prefix):], "0", "f"), ValidID(first)
}

func formatUUID(b [16]byte, version byte) string {
	b[6] = b[6]&0x0f | version<<4
	b[8] = b[8]&0x3f | 0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
