package audit_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"postseal/audit"
)

// compiled is the published schema of the report.
func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	s, err := jsonschema.NewCompiler().Compile("../docs/reference/schema/audit.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// checkSchema fails when the JSON of r is not what the schema says.
func checkSchema(t *testing.T, s *jsonschema.Schema, r *audit.Report) {
	t.Helper()
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(v); err != nil {
		t.Errorf("%s: %v\n%s", r.Domain, err, data)
	}
	if bytes.Contains(data, []byte(":null")) {
		t.Errorf("%s: a null in %s", r.Domain, data)
	}
}
