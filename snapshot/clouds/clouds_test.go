package clouds_test

import (
	"testing"

	"gocloud.dev/blob"

	"github.com/holdfast/holdfast/snapshot/clouds"
)

func TestIncluded_SaysWhetherTheDriversAreThere(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"s3", "gs", "azblob"} {
		if got := blob.DefaultURLMux().ValidBucketScheme(scheme); got != clouds.Included {
			t.Errorf("a driver of %s:// is there: %t; Included is %t", scheme, got, clouds.Included)
		}
	}
}
