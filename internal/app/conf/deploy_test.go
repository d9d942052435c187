package conf

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"postseal"
)

func deployed(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile("../../../" + path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestMetricNames: alerts and dashboard ask for metrics that the daemon has, and with labels
// that they have.
func TestMetricNames(t *testing.T) {
	known := map[string]string{}
	for line := range strings.Lines(deployed(t, "docs/reference/metrics.md")) {
		if cells := strings.Split(line, "|"); len(cells) > 4 && strings.HasPrefix(cells[1], " `postseal_") {
			name := strings.Trim(cells[1], " `")
			known[name] = cells[3] + "`instance` `job` `le`"
			if strings.TrimSpace(cells[2]) == "histogram" {
				known[name+"_bucket"] = known[name]
			}
		}
	}
	selector := regexp.MustCompile(`(postseal_[a-z_]+)(\{[^}]*\})?`)
	label := regexp.MustCompile(`([a-z_]+)\s*(?:=~|!~|!=|=)\s*\\?"`)
	for _, path := range []string{"deploy/prometheus/postseal.rules.yml", "deploy/grafana/postseal.json"} {
		found := selector.FindAllStringSubmatch(deployed(t, path), -1)
		if len(found) < 5 {
			t.Errorf("%s: only %d metrics", path, len(found))
		}
		for _, m := range found {
			labels, ok := known[m[1]]
			if !ok {
				t.Errorf("%s: there is no metric %s", path, m[1])
			}
			for _, l := range label.FindAllStringSubmatch(m[2], -1) {
				if !strings.Contains(labels, "`"+l[1]+"`") {
					t.Errorf("%s: %s has no label %s", path, m[1], l[1])
				}
			}
		}
	}
	var rules any
	if err := yaml.Unmarshal([]byte(deployed(t, "deploy/prometheus/postseal.rules.yml")), &rules); err != nil {
		t.Error(err)
	}
	var dashboard struct{ Panels []struct{ ID int } }
	if err := json.Unmarshal([]byte(deployed(t, "deploy/grafana/postseal.json")), &dashboard); err != nil || len(dashboard.Panels) < 5 {
		t.Errorf("%d panels, %v", len(dashboard.Panels), err)
	}
}

// TestPackagedConfiguration: the configuration of the packages has no error and no warning, refuses
// nothing, and keeps evidence; so does it with every commented key in force.
func TestPackagedConfiguration(t *testing.T) {
	own := deployed(t, "deploy/postseal.toml")
	for name, text := range map[string]string{"package": own, "every key": regexp.MustCompile(`(?m)^#([a-z_\[].*)$`).ReplaceAllString(own, "$1")} {
		c, warnings, err := Parse(name, []byte(text), time.Now())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(warnings) > 0 || c.Enforce != postseal.Observe || c.Bundles.Dir == "" {
			t.Errorf("%s: warnings %v, enforce %s, bundles in %q", name, warnings, c.Enforce, c.Bundles.Dir)
		}
	}
}
