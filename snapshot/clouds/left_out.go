//go:build !clouds

package clouds

// Included says whether this build has the drivers.
const Included = false
