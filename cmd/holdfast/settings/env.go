package settings

import (
	"path/filepath"
	"slices"
	"strings"
)

// Env is an environment as os.Environ gives it, with the values of flags on top.
type Env struct {
	list  []string
	flags map[string]string
}

// NewEnv wraps an environment of NAME=value entries; as in os/exec, the last one wins.
func NewEnv(environ []string) Env { return Env{list: environ} }

// WithFlag returns the environment with a setting given on the command line. An empty value
// means that the flag was not given.
func (e Env) WithFlag(name, value string) Env {
	if value == "" {
		return e
	}
	flags := map[string]string{name: value}
	for k, v := range e.flags {
		if k != name {
			flags[k] = v
		}
	}
	return Env{list: e.list, flags: flags}
}

// LookupEnv implements envconfig.EnvLookup. An empty variable counts as not set.
func (e Env) LookupEnv(name string) (string, bool) {
	if v, ok := e.flags[name]; ok {
		return v, true
	}
	for _, entry := range slices.Backward(e.list) {
		if k, v, ok := strings.Cut(entry, "="); ok && k == name {
			return v, v != ""
		}
	}
	return "", false
}

// Get is the value of a variable, "" when it is not set.
func (e Env) Get(name string) string {
	v, _ := e.LookupEnv(name)
	return v
}

// Environ implements envconfig.EnvLookup.
func (e Env) Environ() []string {
	out := slices.Clone(e.list)
	for k, v := range e.flags {
		out = append(out, k+"="+v)
	}
	return out
}

func (e Env) source(name string) Source {
	if _, ok := e.flags[name]; ok {
		return FromFlag
	}
	if _, ok := e.LookupEnv(name); ok {
		return FromEnvironment
	}
	return FromDefault
}

// dataHome is where programs keep a user's data (XDG Base Directory Specification).
func (e Env) dataHome() string {
	if dir := e.Get("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return dir
	}
	if home := e.Get("HOME"); home != "" {
		return filepath.Join(home, ".local", "share")
	}
	return "/var/lib"
}
