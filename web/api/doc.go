// Package api is the REST API: each endpoint reads Postgres or hands a command to control, and its description makes the
// OpenAPI document. Bodies are declared in schema/wire.
//
// Imports: logs, schema, schema/store, schema/wire, snapshot, web/caller, web/control, web/frame, web/health, web/presence, web/problem.
// Imported by: web, web/gen.
package api
