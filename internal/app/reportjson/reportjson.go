// Package reportjson writes the JSON of a report with additional fields after its own.
package reportjson

import (
	"bytes"
	"encoding/json"
	"fmt"

	"postseal"
)

// Extended is a report whose JSON ends with additional fields.
type Extended struct {
	*postseal.Report
	More []Field
}

// Field is one of them.
type Field struct {
	Name  string
	Value any
}

// MarshalJSON adds the fields to the JSON of the report.
func (e Extended) MarshalJSON() ([]byte, error) {
	text, err := e.Report.MarshalJSON()
	if err != nil {
		return nil, err
	}
	text = bytes.TrimSuffix(text, []byte("}"))
	for _, f := range e.More {
		value, err := json.Marshal(f.Value)
		if err != nil {
			return nil, err
		}
		text = fmt.Appendf(text, `,%q:%s`, f.Name, value)
	}
	return append(text, '}'), nil
}
