// Package house holds the rules of this repository that no linter knows, as tests: that the package
// comments are true, that no import runs upwards, that the UI's files make no circle.
//
// Imports: nothing of this module.
// Imported by: nothing of this module.
package house
