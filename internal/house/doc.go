// Package house tests the rules of this repository that no linter knows: package comments are
// true, no import runs upwards, and the UI's files do not import each other in a circle.
//
// Imports: nothing of this module.
// Imported by: nothing of this module.
package house
