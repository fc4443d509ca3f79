package deploy_test

import (
	"slices"
	"strings"
	"testing"
)

// unit reads the systemd unit that stands in docs/operations.md.
func unit(t *testing.T) map[string][]string {
	t.Helper()
	_, text, _ := strings.Cut(read(t, "docs/operations.md"), "\n    [Unit]\n")
	settings := map[string][]string{}
	for line := range strings.SplitSeq(text, "\n") {
		if line != "" && !strings.HasPrefix(line, "    ") {
			break
		}
		if name, value, found := strings.Cut(strings.TrimSpace(line), "="); found {
			settings[name] = append(settings[name], value)
		}
	}
	if len(settings["ExecStart"]) != 1 {
		t.Fatalf("docs/operations.md has no unit: %v", settings)
	}
	return settings
}

func TestSystemd_TheUnitKeepsWhatStepsNeed(t *testing.T) {
	t.Parallel()
	settings := unit(t)
	for name, value := range map[string]string{
		"Wants": "network-online.target", "After": "network-online.target", "Delegate": "yes", "KillMode": "process",
		"Restart": "on-failure", "User": "holdfast", "CapabilityBoundingSet": "",
	} {
		if !slices.Equal(settings[name], []string{value}) {
			t.Errorf("%s=%v; %q is needed", name, settings[name], value)
		}
	}
	// They refuse namespaces, or mount something over a part of /proc: then the kernel refuses a step its own. And what
	// is gone with the worker is gone for the steps that outlive it.
	for _, name := range []string{
		"RestrictNamespaces", "PrivateUsers", "ProtectProc", "ProcSubset", "ProtectKernelTunables", "ProtectKernelLogs",
		"ProtectHostname", "ProtectControlGroups", "SystemCallFilter", "PrivateTmp", "RemoveIPC",
	} {
		if value, found := settings[name]; found {
			t.Errorf("the unit has %s=%v", name, value)
		}
	}
	if families := strings.Fields(strings.Join(settings["RestrictAddressFamilies"], " ")); !slices.Contains(families, "AF_NETLINK") || !slices.Contains(families, "AF_UNIX") {
		t.Errorf("a step's network is made with sockets of AF_NETLINK, and its questions are asked through AF_UNIX; the unit allows %v", families)
	}
}
