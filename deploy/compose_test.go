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
	Build       *build               `yaml:"build"`
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

type build struct {
	Context string            `yaml:"context"`
	Args    map[string]string `yaml:"args"`
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

// Temporal's UI has no guard before it here, as it has in `holdfast up`: it only shows.
func TestCompose_TemporalUITakesNoDecisions(t *testing.T) {
	t.Parallel()
	ui := load(t).Services["temporal-ui"]
	if ui.Environment["TEMPORAL_DISABLE_WRITE_ACTIONS"] != "true" || !slices.Equal(ui.Ports, []string{"127.0.0.1:8233:8080"}) {
		t.Errorf("%+v", ui)
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
			source, _, named := strings.Cut(volume, ":")
			if !named {
				continue // a volume of each container's own
			}
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

// mounts says what a service has at a path: the name of a volume, "" for one of each container's own.
func (s *service) mounts(path string) (volume string, found bool) {
	for _, v := range s.Volumes {
		source, target, named := strings.Cut(v, ":")
		switch {
		case named && target == path:
			return source, true
		case !named && source == path:
			return "", true
		}
	}
	return "", false
}

func TestCompose_EachWorkerIsAHostAndAllShareTheBlobs(t *testing.T) {
	t.Parallel()
	file := load(t)
	worker, web := file.Services["worker"], file.Services["web"]
	if volume, found := worker.mounts(worker.Environment["HOLDFAST_DATA_DIR"]); !found || volume != "" {
		t.Errorf("the data folder is on the volume %q (found: %v), which replicas of the worker share", volume, found)
	}
	if host, set := worker.Environment["HOLDFAST_HOST"]; set {
		t.Errorf("every replica of the worker has the host name %q", host)
	}
	blobs := regexp.MustCompile(`^\$\{HOLDFAST_BLOB_URL:-file://(/.+)/blobs\}$`).FindStringSubmatch(worker.Environment["HOLDFAST_BLOB_URL"])
	if blobs == nil || web.Environment["HOLDFAST_BLOB_URL"] != worker.Environment["HOLDFAST_BLOB_URL"] {
		t.Fatalf("the blobs of worker and web are at %q and %q", worker.Environment["HOLDFAST_BLOB_URL"], web.Environment["HOLDFAST_BLOB_URL"])
	}
	for name, part := range map[string]service{"worker": worker, "web": web} {
		if volume, _ := part.mounts(blobs[1]); volume == "" {
			t.Errorf("service %q has no volume with a name at %s: %v", name, blobs[1], part.Volumes)
		}
	}
	// A volume takes its owner from the image.
	if !strings.Contains(read(t, "Dockerfile"), "install -d -o holdfast -m 0700 "+blobs[1]) {
		t.Errorf("the image has no folder %s that is its user's", blobs[1])
	}
}

func TestCompose_AsksTheWorkerAndTheWebProcessHowTheyAre(t *testing.T) {
	t.Parallel()
	file := load(t)
	for name, test := range map[string][]string{
		"worker": {"CMD", "holdfast", "worker", "--check"},
		"web":    {"CMD", "curl", "-fsS", "http://127.0.0.1:8000/api/ready"},
	} {
		if check := file.Services[name].Healthcheck; check == nil || !slices.Equal(check.Test, test) {
			t.Errorf("service %q: its health is asked by %+v", name, check)
		}
	}
}

func TestCompose_TheVersionReachesTheProgram(t *testing.T) {
	t.Parallel()
	for name, part := range load(t).Services {
		if strings.HasPrefix(part.Image, "holdfast:") && (part.Build == nil || part.Build.Context != "." || part.Build.Args["VERSION"] != "${HOLDFAST_VERSION:-dev}") {
			t.Errorf("service %q is built with %+v", name, part.Build)
		}
	}
	variable := regexp.MustCompile(`-X (\S+\.buildVersion)=`)
	docker, makefile := variable.FindStringSubmatch(read(t, "Dockerfile")), variable.FindStringSubmatch(read(t, "Makefile"))
	if docker == nil || makefile == nil || docker[1] != makefile[1] {
		t.Errorf("the Dockerfile sets %q, the Makefile %q", docker, makefile)
	}
	if _, stage, _ := strings.Cut(read(t, "Dockerfile"), " AS build\n"); !strings.Contains(strings.SplitN(stage, "\nFROM ", 2)[0], "\nARG VERSION=dev\n") {
		t.Error("the stage that builds takes no VERSION")
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestDockerfile_CopiesOnlyFromStagesAndPathsThatExist(t *testing.T) {
	t.Parallel()
	content := read(t, "Dockerfile")
	images := map[string]string{}
	for _, match := range regexp.MustCompile(`(?m)^ARG ([A-Z]+_IMAGE)=(.+)$`).FindAllStringSubmatch(content, -1) {
		images["${"+match[1]+"}"] = match[2]
	}
	stages := map[string]bool{}
	instruction := regexp.MustCompile(`(?m)^(FROM|COPY) (.+)$`)
	for _, match := range instruction.FindAllStringSubmatch(content, -1) {
		words := strings.Fields(match[2])
		switch {
		case match[1] == "FROM":
			if len(words) == 3 {
				stages[words[2]] = true
			}
			if image := images[words[0]]; !strings.Contains(image, ":") || strings.HasSuffix(image, ":latest") {
				t.Errorf("FROM %s is no argument with a version, which a digest can be given in: %q", words[0], image)
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
