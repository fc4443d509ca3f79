package schema

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// AttentionKind is why something deserves a look before it is approved.
type AttentionKind string

// The kinds of [Attention].
const (
	AttentionNetwork        AttentionKind = "network"          // the step may use the network
	AttentionEnv            AttentionKind = "env"              // a variable changes what programs load or run
	AttentionRemoteCode     AttentionKind = "remote_code"      // fetched or decoded code runs unseen
	AttentionDelete         AttentionKind = "delete"           // files or data are deleted for good
	AttentionSecret         AttentionKind = "secret"           // a credential is named, or appears in clear
	AttentionPrivilege      AttentionKind = "privilege"        // permissions or owners are changed
	AttentionHidden         AttentionKind = "hidden_text"      // invisible characters, or ones that reorder text
	AttentionApprovesItself AttentionKind = "approves_itself"  // its own approval is granted when nobody answers
	AttentionGoesOn         AttentionKind = "goes_on_if_fails" // the run goes on when it fails
	AttentionMore           AttentionKind = "more"             // the number of entries left out, in Found
)

// Attention is one thing that deserves a look, and where it is.
type Attention struct {
	Kind   AttentionKind `json:"kind"`
	StepID string        `json:"step_id,omitempty" doc:"The step it is in"`
	File   string        `json:"file,omitempty" doc:"The file it is in"`
	Found  string        `json:"found,omitempty" doc:"What was found there, shortened"`
}

// maxAttention bounds the list, including the entry that counts the rest. A plan with more findings
// gains nothing from a longer list.
const maxAttention = 200

const maxFound = 80 // characters

// lazy compiles a pattern on first use: every step starts two programs with this package, and they
// use none of the patterns.
func lazy(pattern string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(pattern) })
}

// Patterns to look for in text that is run.
var suspicious = []struct {
	kind    AttentionKind
	pattern func() *regexp.Regexp
}{
	{AttentionRemoteCode, lazy(`\b(?:curl|wget)\b[^\n;]*?\|[^\n;|]*\b(?:sh|bash|zsh|dash|ksh|python[\d.]*|perl|ruby|node)\b`)},
	{AttentionRemoteCode, lazy("(?:\\b(?:sh|bash|zsh|dash|eval|source)|\\.)\\s[^\\n;|]{0,40}?(?:\\$\\(|<\\(|`)\\s*(?:curl|wget)\\b[^\\n]*")},
	{AttentionRemoteCode, lazy(`\bbase64\s+(?:-d|-D|--decode)\b[^\n;]*?\|[^\n;|]*\b(?:sh|bash|zsh|dash|python[\d.]*|perl)\b`)},
	{AttentionDelete, lazy(`\brm\s+(?:[^\n;|&]*\s)?(?:-\w*[rRf]\w*|--recursive|--force)\b[^\n;|&]*`)},
	{AttentionDelete, lazy(`\bfind\b[^\n;|]*\s-delete\b|\bshred\b[^\n;|]*|\bmkfs\b[^\n;|]*|\bdd\b[^\n;|]*\bof=\S*|\bgit\s+(?:clean\s+-\w*f\w*|reset\s+--hard|push\b[^\n;|]*(?:--force|\s-f\b))`)},
	{AttentionDelete, lazy(`\bshutil\.rmtree\b|\bos\.(?:remove|unlink|rmdir|removedirs)\b|\bfs\.(?:rm|rmdir|unlink)(?:Sync)?\b|(?i:\b(?:drop|truncate)\s+(?:table|database|schema)\b|\bdelete\s+from\b)`)},
	{AttentionSecret, lazy(`\.ssh/\S*|\bid_(?:rsa|dsa|ecdsa|ed25519)\b|/etc/shadow\b|\.aws/credentials\b|\.netrc\b|\.kube/config\b|\.docker/config\.json\b|BEGIN [A-Z ]*PRIVATE KEY`)},
	{AttentionSecret, lazy(`\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{20,}|\bsk-[A-Za-z0-9_-]{20,}`)},
	{AttentionPrivilege, lazy(`\bchmod\s+(?:-\w+\s+)*(?:[ugoa]*[+=][rwxXt]*s[rwxXst]*|[2467][0-7]{3}|0?777|[oa]+\+[rxX]*w[rwxX]*)\b[^\n;|&]*|\bsetcap\b[^\n;|&]*|\bchown\s[^\n;|&]*|\bsudo\s[^\n;|&]*|\bos\.(?:setuid|setgid|chown)\b`)},
	{AttentionEnv, lazy(`\b(?:LD_(?:PRELOAD|LIBRARY_PATH|AUDIT)|DYLD_\w+|BASH_ENV|PROMPT_COMMAND)=\S*`)},
}

// Variables that change what programs load or run, or where they connect to.
var loading = lazy(`^(?:(?:LD|DYLD)_.*|PATH|IFS|ENV|BASH_ENV|PROMPT_COMMAND|GCONV_PATH|PYTHON(?:PATH|HOME|STARTUP)|PERL5?(?:OPT|LIB|DB)|RUBY(?:OPT|LIB)|NODE_(?:OPTIONS|PATH)|_?JAVA(?:_TOOL)?_OPTIONS|GIT_(?:SSH|SSH_COMMAND|EXTERNAL_DIFF|EXEC_PATH|PAGER)|(?i:https?|all)_(?i:proxy))$`)

var secretName = lazy(`(?i)(?:^|_)(?:token|secret|passwd|password|api_?key|private_?key|access_?key|credentials?)(?:_|$)`)

// Attention lists what in a plan deserves a look before approval: steps in order, then files by
// name. Each kind is listed once per place. If there are more than 200, one of each kind comes
// first, and the number left out comes last. asks are the steps that ask, by id; see [Plan.Asks].
func (p *Plan) Attention(asks map[string]StepAsks) []Attention {
	list := []Attention{}
	for i := range p.Steps {
		s := &p.Steps[i]
		list = append(list, s.attention(cmp.Or(asks[s.ID].OnTimeout, s.OnTimeout))...)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Files)) {
		for _, a := range scan(name, p.Files[name]) {
			a.File = name
			list = append(list, a)
		}
	}
	return bounded(list)
}

// bounded cuts the list to its limit. It keeps at least one entry of every kind, and counts what it leaves out.
func bounded(list []Attention) []Attention {
	if len(list) <= maxAttention {
		return list
	}
	seen := map[AttentionKind]bool{}
	var firsts, rest []Attention
	for _, a := range list {
		if seen[a.Kind] {
			rest = append(rest, a)
			continue
		}
		seen[a.Kind] = true
		firsts = append(firsts, a)
	}
	shown := append(firsts, rest...)[:maxAttention-1]
	return append(shown, Attention{Kind: AttentionMore, Found: strconv.Itoa(len(list) - len(shown))})
}

func (s *PlanStep) attention(onTimeout OnTimeout) []Attention {
	var list []Attention
	add := func(kind AttentionKind, found string) {
		if !slices.ContainsFunc(list, func(a Attention) bool { return a.Kind == kind && a.Found == found }) {
			list = append(list, Attention{Kind: kind, StepID: s.ID, Found: found})
		}
	}
	if s.Networked() {
		add(AttentionNetwork, "")
	}
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		if loading().MatchString(name) {
			add(AttentionEnv, shortFound(name))
		}
		if secretName().MatchString(name) {
			add(AttentionSecret, shortFound(name))
		}
	}
	for _, text := range s.texts() {
		for _, a := range scan(text) {
			add(a.Kind, a.Found)
		}
	}
	if onTimeout == OnTimeoutApprove {
		add(AttentionApprovesItself, "")
	}
	if s.OnError == OnErrorContinue {
		add(AttentionGoesOn, "")
	}
	return list
}

// texts are the parts of a step that a person reads.
func (s *PlanStep) texts() []string {
	texts := []string{s.Title, s.Shell, strings.Join(s.Run, " "), s.Task}
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		texts = append(texts, s.Env[name])
	}
	return texts
}

// scan finds each kind once in a group of texts.
func scan(texts ...string) []Attention {
	var list []Attention
	for _, text := range texts {
		for _, s := range suspicious {
			if slices.ContainsFunc(list, func(a Attention) bool { return a.Kind == s.kind }) {
				continue
			}
			if found := s.pattern().FindString(text); found != "" {
				list = append(list, Attention{Kind: s.kind, Found: shortFound(found)})
			}
		}
	}
	if slices.ContainsFunc(texts, func(s string) bool { return strings.ContainsFunc(s, IsInvisible) }) {
		list = append(list, Attention{Kind: AttentionHidden})
	}
	return list
}

// fillers show nothing, whether or not they take room, though Unicode counts them as letters and
// marks.
const fillers = "\u034f\u115f\u1160\u3164\uffa0"

// IsInvisible reports whether a character is invisible, or changes how the text around it is displayed.
// The browser has the same list, in web/ui/src/lib/hidden.ts.
func IsInvisible(r rune) bool {
	switch {
	case r == '\n' || r == '\t' || r == '\r':
		return false
	case r < 0xa0:
		return r < 0x20 || r >= 0x7f // control characters, ESC among them
	case r >= 0x2060 && r <= 0x206f, r >= 0xe0000 && r <= 0xe007f: // including those that Unicode has not assigned
		return true
	default:
		return unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Bidi_Control) || strings.ContainsRune(fillers, r)
	}
}

// shortFound is a match on one line, without hidden characters.
func shortFound(s string) string {
	s = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if IsInvisible(r) {
			return utf8.RuneError
		}
		return r
	}, s)), " ")
	if r := []rune(s); len(r) > maxFound {
		return string(r[:maxFound-1]) + "…"
	}
	return s
}
