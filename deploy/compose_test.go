// Package deploy_test checks what deploys Holdfast, as far as that can be done where no container engine runs.
package deploy_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

const root = ".."

type compose struct {
	Services map[string]service `yaml:"services"`
	Volumes  map[string]any     `yaml:"volumes"`
}

type service struct {
	Image       string               `yaml:"image"`
	Build       string               `yaml:"build"`
	Restart     string               `yaml:"restart"`
	Command     []string             `yaml:"command"`
	Environment map[string]string    `yaml:"environment"`
	Ports       []string             `yaml:"ports"`
	Volumes     []string             `yaml:"volumes"`
	Healthcheck *healthcheck         `yaml:"healthcheck"`
	DependsOn   map[string]dependent `yaml:"depends_on"`
	StopGrace   string               `yaml:"stop_grace_period"`
	SecurityOpt []string             `yaml:"security_opt"`
}

type healthcheck struct {
	Test        []string `yaml:"test"`
	Interval    string   `yaml:"interval"`
	Timeout     string   `yaml:"timeout"`
	Retries     int      `yaml:"retries"`
	StartPeriod string   `yaml:"start_period"`
}

type dependent struct {
	Condition string `yaml:"condition"`
}

func load(t *testing.T) compose {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, "docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	// Anchors live under keys of their own, so only the services are held to known keys.
	var whole map[string]any
	if err := yaml.Unmarshal(content, &whole); err != nil {
		t.Fatalf("docker-compose.yml: %v", err)
	}
	for key := range whole {
		if key != "name" && key != "services" && key != "volumes" && !strings.HasPrefix(key, "x-") {
			t.Errorf("docker-compose.yml: unknown key %q", key)
		}
	}
	strict, err := yaml.Marshal(map[string]any{"services": whole["services"], "volumes": whole["volumes"]})
	if err != nil {
		t.Fatal(err)
	}
	var file compose
	decoder := yaml.NewDecoder(bytes.NewReader(strict))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil {
		t.Fatalf("docker-compose.yml: %v", err)
	}
	return file
}

func TestCompose_HasEveryPartWithItsSettings(t *testing.T) {
	t.Parallel()
	file := load(t)
	for name, settings := range map[string][]string{
		"postgres":    {"POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB"},
		"temporal":    {"POSTGRES_SEEDS"},
		"temporal-ui": {"TEMPORAL_ADDRESS"},
		"migrate":     {"HOLDFAST_DATABASE_URL"},
		"worker":      {"HOLDFAST_DATABASE_URL", "TEMPORAL_ADDRESS", "HOLDFAST_DATA_DIR"},
		"web":         {"HOLDFAST_DATABASE_URL", "TEMPORAL_ADDRESS", "HOLDFAST_ADDR"},
	} {
		part, found := file.Services[name]
		if !found {
			t.Errorf("no service %q", name)
			continue
		}
		for _, setting := range settings {
			if part.Environment[setting] == "" {
				t.Errorf("service %q does not set %s", name, setting)
			}
		}
		if part.Image == "" || strings.HasSuffix(part.Image, ":latest") || !strings.Contains(part.Image, ":") {
			t.Errorf("service %q: image %q is not pinned", name, part.Image)
		}
	}
}

func TestCompose_RefersOnlyToWhatItHas(t *testing.T) {
	t.Parallel()
	file := load(t)
	for name, part := range file.Services {
		for other, how := range part.DependsOn {
			target, found := file.Services[other]
			switch {
			case !found:
				t.Errorf("service %q depends on %q, which is not there", name, other)
			case how.Condition == "service_healthy" && target.Healthcheck == nil:
				t.Errorf("service %q waits for the health of %q, which has no check", name, other)
			case !slices.Contains([]string{"service_healthy", "service_completed_successfully", "service_started"}, how.Condition):
				t.Errorf("service %q: condition %q", name, how.Condition)
			}
		}
		for _, volume := range part.Volumes {
			source, _, _ := strings.Cut(volume, ":")
			if _, found := file.Volumes[source]; !found {
				t.Errorf("service %q mounts %q, which is no named volume", name, source)
			}
		}
		for _, port := range part.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("service %q publishes %q beyond loopback", name, port)
			}
		}
	}
}

func TestDockerfile_CopiesOnlyFromStagesAndPathsThatExist(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	stages := map[string]bool{}
	instruction := regexp.MustCompile(`(?m)^(FROM|COPY) (.+)$`)
	for _, match := range instruction.FindAllStringSubmatch(string(content), -1) {
		words := strings.Fields(match[2])
		switch {
		case match[1] == "FROM":
			if len(words) == 3 {
				stages[words[2]] = true
			}
			if !strings.Contains(words[0], ":") {
				t.Errorf("FROM %s is not pinned", words[0])
			}
		case strings.HasPrefix(words[0], "--from="):
			if stage := strings.TrimPrefix(words[0], "--from="); !stages[stage] {
				t.Errorf("COPY from %q, which is no stage above it", stage)
			}
		default:
			for _, path := range words[:len(words)-1] {
				if _, err := os.Stat(filepath.Join(root, path)); err != nil {
					t.Errorf("COPY %s: %v", path, err)
				}
			}
		}
	}
}
