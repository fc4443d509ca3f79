package cli

import (
	"encoding/json"
	"errors"

	"github.com/holdfast/holdfast/cmd/holdfast/settings"
	"github.com/holdfast/holdfast/cmd/holdfast/terminal"
)

type configCmd struct {
	JSON bool `help:"Print JSON." name:"json"`
}

// Help is shown by --help.
func (*configCmd) Help() string {
	return "Exit code 2 when a setting is bad. Secrets are masked. Below the settings it says which layers of isolation this host has, and why others are missing.\n\n" +
		example("holdfast config", "HOLDFAST_LOG_LEVEL=debug holdfast config --json")
}

func (c *configCmd) Run(inv *invocation) error {
	all := settings.All(inv.env)
	var problems []error
	for i := range all {
		if all[i].Problem != "" {
			problems = append(problems, errors.New(all[i].Problem))
		}
	}
	layers := probeLayers()
	if c.JSON {
		out, err := json.MarshalIndent(map[string]any{"settings": all, "isolation": layers}, "", "  ")
		if err != nil {
			return err
		}
		inv.raw(out)
	} else if err := errors.Join(c.table(inv, all), layersTable(inv, layers)); err != nil {
		return err
	}
	for _, m := range settings.Unknown(inv.env) {
		inv.notef("%s\n", terminal.Clean(m.String()))
	}
	if len(problems) > 0 {
		return withCode(exitUsage, errors.Join(problems...))
	}
	return nil
}

func (c *configCmd) table(inv *invocation, all []settings.Setting) error {
	t := terminal.Table{Header: []string{"SETTING", "VALUE", "DEFAULT", "SOURCE", "MEANING"}}
	for i := range all {
		s := &all[i]
		value := terminal.Cell{Text: dash(s.Value)}
		if s.Source != settings.FromDefault {
			value.Paint = inv.style.Bold
		}
		if s.Problem != "" {
			value.Paint = inv.style.Red
		}
		t.Add(s.Name, value, dash(s.Default), string(s.Source), terminal.Cell{Text: s.Help, Paint: inv.style.Dim})
	}
	return t.Write(inv.stdout, inv.style)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return terminal.Clean(s)
}
