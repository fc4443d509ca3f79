// Package clouds makes snapshot.Open know s3://, gs:// and azblob:// URLs, by importing their
// drivers. They are half of the program's size and of its cold build, so they stand in a
// package of their own, which only cmd/holdfast imports: tests and the supervisor do without.
package clouds

import (
	_ "gocloud.dev/blob/azureblob" // azblob://
	_ "gocloud.dev/blob/gcsblob"   // gs://
	_ "gocloud.dev/blob/s3blob"    // s3://
)
