package cli

import (
	"errors"
	"os"
	"syscall"
	"time"

	"postseal"
	"postseal/internal/app/conf"
)

var enforceModes = []string{string(postseal.Observe), string(postseal.EnforceQuarantine), string(postseal.Guarded), string(postseal.Strict)}

// loadConfig reads --config. Every error is reported as file:line:col.
func (a *app) loadConfig() error {
	a.config = conf.Default()
	path := a.flags.config
	if path == "" {
		return nil
	}
	c, warnings, err := a.readConfig(path, nil)
	if err != nil {
		return err
	}
	a.config = c
	for _, w := range warnings {
		w.Warning = false // the text before the colon is already printed
		a.warn("%s", w)
	}
	return nil
}

// usualConfig reads the configuration that the packages install, if --config is not set and the
// file exists: commands about the daemon use its configuration.
func (a *app) usualConfig() error {
	if a.flags.config != "" {
		return nil
	}
	if _, err := os.Stat(conf.UsualPath); err != nil {
		return nil
	}
	a.flags.config = conf.UsualPath
	return a.loadConfig()
}

func (a *app) readConfig(path string, shared *conf.Shared) (*conf.Config, []conf.Problem, error) {
	c, warnings, err := conf.LoadShared(path, shared, time.Now())
	var problems *conf.Error
	switch {
	case errors.As(err, &problems):
		return nil, nil, failf(exitConfig, "%s", problems.Error())
	case errors.Is(err, syscall.EISDIR):
		return nil, nil, failf(exitConfig, "%s: is a directory, not a configuration file", path)
	case err != nil:
		f := openFailure(path, err)
		f.code = exitConfig
		return nil, nil, f
	}
	return c, warnings, nil
}
