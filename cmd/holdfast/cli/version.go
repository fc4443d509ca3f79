package cli

import (
	"runtime"
	"runtime/debug"

	"github.com/holdfast/holdfast/schema"
)

// buildVersion is set by the linker: -X github.com/holdfast/holdfast/cmd/holdfast/cli.buildVersion=v1.2.3
var buildVersion string

type versionCmd struct {
	JSON bool `help:"Print JSON." name:"json"`
}

// Help is shown by --help.
func (*versionCmd) Help() string { return example("holdfast version", "holdfast version --json") }

type versionInfo struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func version() string { return versions().Version }

func versions() versionInfo {
	v := versionInfo{Version: buildVersion, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if build, ok := debug.ReadBuildInfo(); ok {
		if v.Version == "" {
			v.Version = build.Main.Version
		}
		for _, s := range build.Settings {
			switch s.Key {
			case "vcs.revision":
				v.Commit = s.Value
			case "vcs.modified":
				v.Modified = s.Value == "true"
			}
		}
	}
	if v.Version == "" || v.Version == "(devel)" {
		v.Version = "dev"
	}
	return v
}

func (c *versionCmd) Run(inv *invocation) error {
	v := versions()
	if c.JSON {
		inv.raw(schema.Marshal(v))
		return nil
	}
	inv.printf("holdfast %s", v.Version)
	if v.Commit != "" {
		inv.printf(" (%s)", v.Commit[:min(12, len(v.Commit))])
	}
	inv.printf(" %s %s\n", v.Go, v.Platform)
	return nil
}
