package conf

import (
	"github.com/pelletier/go-toml/v2"

	"postseal/store"
)

// Text returns the configuration as TOML with all its defaults and without secrets.
func (c *Config) Text() ([]byte, error) {
	shown := *c
	if shown.Store.URL != "" {
		shown.Store.URL = StoreURL(store.RedactURL(string(shown.Store.URL)))
	}
	return toml.Marshal(&shown)
}
