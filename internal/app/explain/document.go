package explain

// Document is the JSON of an explanation, schema postseal.explain/1.
type Document struct {
	Schema  string   `json:"schema"`
	File    string   `json:"file"` // the bundle, "" if it is not a file
	Holds   bool     `json:"holds"`
	Missing []string `json:"missing"` // queries that the bundle does not answer
	*Explanation
}

// NewDocument returns the document of an explanation. differences are those from the recorded decision.
func NewDocument(file string, e *Explanation, differences, missing []string) Document {
	return Document{"postseal.explain/1", file, len(differences) == 0, append([]string{}, missing...), e}
}
