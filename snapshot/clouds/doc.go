// Package clouds makes snapshot.Open accept s3://, gs:// and azblob:// URLs, by importing their
// drivers, in a build with the tag clouds. They are 31 of the 78 MB of such a build and most of the
// time that a cold one takes, so the default build leaves them out.
//
// Imports: nothing of this module.
// Imported by: cmd/holdfast/settings.
package clouds
