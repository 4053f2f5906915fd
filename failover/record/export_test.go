package record

// For the tests.
var (
	Frame         = frame
	ForEachSecret = forEachSecret
)
