package schema_test

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/schema"
)

func TestParseNetworkRule_TakesPlaces(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"example.org:443", "*.Example.org:*", "10.1.2.3:5432", "10.0.0.0/8:*", "[2001:db8::1]:443", "[2001:db8::/32]:1", "*:443", "localhost:65535", "my_host:1"} {
		if _, err := schema.ParseNetworkRule(s); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
	for _, s := range []string{
		"", "example.org", "example.org:", ":443", "example.org:0", "example.org:65536", "example.org:+1", "example.org:http", "https://example.org:443",
		"exa mple.org:1", "*.*.org:1", "a..b:1", "2001:db8::1:443", "[10.1.2.3]:1", "[::ffff:10.1.2.3]:1", "10.1.2:1", "1.2.3.4.5:1", "[fe80::1%eth0]:1",
		"-a.org:1", strings.Repeat("a", 64) + ".org:1", "10.0.0.0/33:1", "[example.org]:1", "[2001:db8::1:443",
	} {
		if r, err := schema.ParseNetworkRule(s); err == nil {
			t.Errorf("%q is taken as %+v", s, r)
		}
	}
}

func TestNetworkRule_Covers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rule, name, addr string
		want             bool
	}{
		{"example.org:1", "example.org", "", true}, {"example.org:1", "a.example.org", "", false}, {"*.example.org:1", "a.b.example.org", "", true},
		{"*.example.org:1", "example.org", "", false}, {"*.example.org:1", "notexample.org", "", false}, {"10.0.0.0/8:1", "", "10.9.9.9", true},
		{"10.0.0.0/8:1", "", "11.9.9.9", false}, {"*:1", "", "2001:db8::1", true}, {"*:1", "x", "", true}, {"10.1.2.3:1", "10.1.2.3", "", false},
	} {
		r, err := schema.ParseNetworkRule(c.rule)
		if err != nil {
			t.Fatal(err)
		}
		got := c.addr == "" && r.CoversName(c.name)
		if c.addr != "" {
			got = r.CoversAddr(netip.MustParseAddr(c.addr))
		}
		if got != c.want || r.CoversPort(2) || !r.CoversPort(1) {
			t.Errorf("%+v: got %t", c, got)
		}
	}
}

func TestPlan_NetworkIsABooleanOrAList(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"true": "true", "false": "false", `{"allow":["example.org:443"]}`: `{"allow":["example.org:443"]}`, `{"allow":[]}`: `{"allow":[]}`,
	} {
		plan, problems := schema.ParsePlan([]byte(`{"steps":[{"id":"a","shell":"x","network":` + text + `}]}`))
		if len(problems) > 0 {
			t.Fatalf("%s: %+v", text, problems)
		}
		stored, err := json.Marshal(plan)
		if err != nil {
			t.Fatal(err)
		}
		var again schema.Plan
		if err := json.Unmarshal(stored, &again); err != nil || !strings.Contains(string(stored), `"network":`+want) || again.Digest() != plan.Digest() {
			t.Errorf("%s: stored as %s, %v", text, stored, err)
		}
		if step := again.Steps[0]; step.Networked() != (want != "false") || (step.NetworkAllow() != nil) != strings.HasPrefix(want, "{") {
			t.Errorf("%s: %+v", text, step)
		}
	}
	for text, want := range map[string]string{
		`"yes"`: `it must be true or false (or an object with "allow")`, `{}`: `"allow"`, `{"allow":["example.org"]}`: `"example.org" is not a name`,
		`{"allow":[1]}`: "it must be a string", `{"deny":[],"allow":[]}`: `no field "deny"`,
		`{"allow":[` + strings.Repeat(`"a:1",`, schema.MaxNetworkRules) + `"a:1"]}`: "at most 256 are allowed",
	} {
		_, problems := schema.ParsePlan([]byte(`{"steps":[{"id":"a","shell":"x","network":` + text + `}]}`))
		if len(problems) == 0 || !strings.Contains(string(schema.Marshal(problems)), strings.ReplaceAll(want, `"`, `\"`)) {
			t.Errorf("%.40s: %+v", text, problems)
		}
	}
}
