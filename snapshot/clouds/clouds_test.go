//go:build !noclouds

package clouds_test

import (
	"testing"

	"gocloud.dev/blob"

	_ "github.com/holdfast/holdfast/snapshot/clouds"
)

func TestImport_MakesTheCloudsKnown(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"s3", "gs", "azblob"} {
		if !blob.DefaultURLMux().ValidBucketScheme(scheme) {
			t.Errorf("%s:// is not known", scheme)
		}
	}
}
