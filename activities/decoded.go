package activities

import (
	"context"

	"go.temporal.io/sdk/converter"

	"github.com/holdfast/holdfast/schema"
)

// Decoded is an activity that decodes its own argument. The SDK would retry an argument that cannot
// be decoded for ever; no repetition changes it.
func Decoded[In, Out any](do func(context.Context, In) (Out, error)) func(context.Context, converter.RawValue) (Out, error) {
	return func(ctx context.Context, raw converter.RawValue) (Out, error) {
		var in In
		if err := converter.GetDefaultDataConverter().FromPayload(raw.Payload(), &in); err != nil {
			var none Out
			return none, final(schema.Wrap(schema.CodeInvalid, err, "cannot decode the argument"))
		}
		return do(ctx, in)
	}
}
