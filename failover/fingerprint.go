package failover

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
)

// fingerprint returns 16 hex digits that stand for a value of the configuration. What a value leaves out because it is zero does
// not count, so that two programs agree on it of which one knows a parameter that the other one does not.
func fingerprint(v any) string {
	text, err := json.Marshal(v)
	var parsed any
	if err == nil {
		err = json.Unmarshal(text, &parsed)
	}
	if err == nil {
		text, err = json.Marshal(withoutZeros(parsed)) // with its keys in order
	}
	if err != nil {
		text = fmt.Appendf(nil, "%+v", v) // a number that is not finite
	}
	return fmt.Sprintf("%x", sha256.Sum256(text))[:16]
}

// withoutZeros removes members that say nothing from what encoding/json has parsed.
func withoutZeros(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = withoutZeros(v[i])
		}
	case map[string]any:
		for name, member := range v {
			if v[name] = withoutZeros(member); says(v[name]) {
				continue
			}
			delete(v, name)
		}
	}
	return v
}

// says reports whether a value is not zero.
func says(v any) bool {
	switch v := v.(type) {
	case bool:
		return v
	case float64:
		return v != 0
	case string:
		return v != ""
	case []any:
		return len(v) > 0
	case map[string]any:
		return len(v) > 0
	}
	return v != nil
}
