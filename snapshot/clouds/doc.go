// Package clouds makes snapshot.Open accept s3://, gs:// and azblob:// URLs, by importing their
// drivers. They are 31 of the program's 72 MB and a good part of a cold build, so they have their
// own package. The build tag noclouds leaves them out.
//
// Imports: nothing of this module.
// Imported by: cmd/holdfast/cli.
package clouds
