package proxy

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// SlowData is the slow reference of readData, for the tests from outside.
var SlowData = slowData

// SetKeepAlive sets how often the next hop hears of us while a message comes in.
func (c *Config) SetKeepAlive(d time.Duration) { c.keepAlive = d }

// Rewritten is a message without what the verdict removes and with none of our fields:
// FuzzRewrite holds that to be right.
func Rewritten(t testing.TB, message string) string {
	c := changesOf(verified(t, message))
	c.Add = nil
	var out bytes.Buffer
	if err := rewrite(&out, strings.NewReader(message), c); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
