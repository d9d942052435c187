package shared

import (
	"context"
	"reflect"
)

// Absent reports whether v, an interface, holds nothing or a nil pointer: what a caller forgot to set.
func Absent(v any) bool {
	if v == nil {
		return true
	}
	p := reflect.ValueOf(v)
	return p.Kind() == reflect.Pointer && p.IsNil()
}

// Context returns ctx, or one that never ends in place of nil.
func Context(ctx context.Context) context.Context {
	if ctx == nil {
		return context.Background()
	}
	return ctx
}
