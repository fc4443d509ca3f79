package settings

import (
	"fmt"
	"strconv"
)

// Source says where a value came from.
type Source string

// The sources.
const (
	FromDefault     Source = "default"
	FromEnvironment Source = "environment"
	FromFlag        Source = "flag"
	FromFile        Source = "file"
)

// Setting is one setting as `holdfast config` shows it. Value is masked when it is secret.
type Setting struct {
	Name    string `json:"name"`
	Default string `json:"default"`
	Value   string `json:"value"`
	Source  Source `json:"source"`
	Allowed string `json:"allowed"`
	Help    string `json:"help"`
	Problem string `json:"problem,omitempty"`
}

// Error says which setting is bad. Its text is one line.
type Error struct {
	Name    string
	Value   string
	Allowed string
	Missing bool
}

// Error implements error.
func (e *Error) Error() string {
	if e.Missing {
		return fmt.Sprintf("the setting %s is missing; allowed is %s", e.Name, e.Allowed)
	}
	return fmt.Sprintf("the setting %s is %s; allowed is %s", e.Name, strconv.Quote(e.Value), e.Allowed)
}

// A spec declares a setting: parse stores a value in the struct's field, or says no.
type spec struct {
	name     string
	def      string // the default value
	shown    string // what help shows for a default that is computed at the start; def when empty
	required bool
	allowed  string
	help     string
	parse    func(value string) bool
	mask     func(value string) string // for secrets
}

func (s *spec) load(env Env) error {
	value, given := env.LookupEnv(s.name)
	if !given {
		if s.def == "" {
			if s.required {
				return &Error{Name: s.name, Allowed: s.allowed, Missing: true}
			}
			return nil
		}
		value = s.def
	}
	if !s.parse(value) {
		return &Error{Name: s.name, Value: s.masked(value), Allowed: s.allowed}
	}
	return nil
}

func (s *spec) masked(value string) string {
	if s.mask == nil || value == "" {
		return value
	}
	return s.mask(value)
}

func (s *spec) describe(env Env) Setting {
	value, given := env.LookupEnv(s.name)
	if !given {
		value = s.def
	}
	shown := s.shown
	if shown == "" {
		shown = s.def
	}
	if value == "" {
		value = s.shown
	}
	out := Setting{Name: s.name, Default: shown, Value: s.masked(value), Source: env.source(s.name), Allowed: s.allowed, Help: s.help}
	if given {
		if err := s.load(env); err != nil {
			out.Problem = err.Error()
		}
	}
	return out
}

func load(env Env, groups ...[]spec) error {
	for _, group := range groups {
		for i := range group {
			if err := group[i].load(env); err != nil {
				return err
			}
		}
	}
	return nil
}
