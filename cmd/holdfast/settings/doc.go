// Package settings reads the settings of each process from its environment: one struct per
// process ([Web], [Worker], [Stack], [Client]), each field with a name, a default, a rule and a help
// text. A command-line flag overrides the environment.
//
// A value that breaks its rule is an [Error], which names the setting, the value and what is
// allowed; nothing starts with a bad setting. [All] lists every setting with its value and
// source, for `holdfast config`; secrets are masked there.
//
// The Temporal connection is read by Temporal's own rules (TEMPORAL_* and temporal.toml), so
// that what works for the temporal CLI works here.
//
// The other packages take plain options.
//
// Imports: activities/runner/sandbox, cmd/holdfast/disk, logs, schema, snapshot/clouds.
// Imported by: cmd/holdfast/cli.
package settings
