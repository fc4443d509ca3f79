package settings

import (
	"fmt"
	"strconv"
	"strings"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
)

// Defaults of the Temporal connection.
const (
	DefaultTemporalAddress   = "127.0.0.1:7233"
	DefaultTemporalNamespace = "default"
)

// Temporal is the connection to Temporal, by Temporal's own rules.
type Temporal struct {
	Options client.Options
	Named   bool // TEMPORAL_ADDRESS was given: use that server, start none
}

func loadTemporal(env Env, t *Temporal) error {
	profile, err := temporalProfile(env)
	if err != nil {
		return err
	}
	t.Named = profile.Address != ""
	if t.Options, err = profile.ToClientOptions(envconfig.ToClientOptionsRequest{}); err != nil {
		return fmt.Errorf("the settings TEMPORAL_TLS_* do not fit together: %s", oneLine(err))
	}
	// Messages are small, and compressing them took a tenth of a worker's processor time.
	t.Options.ConnectionOptions.GrpcCompression = &client.GrpcCompressionNone{}
	if t.Options.HostPort == "" {
		t.Options.HostPort = DefaultTemporalAddress
	}
	if t.Options.Namespace == "" {
		t.Options.Namespace = DefaultTemporalNamespace
	}
	var address string
	if !hostPort(&address)(t.Options.HostPort) {
		return &Error{Name: "TEMPORAL_ADDRESS", Value: t.Options.HostPort, Allowed: "HOST:PORT, such as 127.0.0.1:7233"}
	}
	return nil
}

func temporalProfile(env Env) (envconfig.ClientConfigProfile, error) {
	for _, name := range []string{"TEMPORAL_TLS", "TEMPORAL_TLS_DISABLE_HOST_VERIFICATION"} {
		if v, given := env.LookupEnv(name); given {
			if _, err := strconv.ParseBool(v); err != nil {
				return envconfig.ClientConfigProfile{}, &Error{Name: name, Value: v, Allowed: truth}
			}
		}
	}
	profile, err := envconfig.LoadClientConfigProfile(envconfig.LoadClientConfigProfileOptions{EnvLookup: env})
	if err != nil {
		return profile, fmt.Errorf("the settings TEMPORAL_* cannot be read: %s", oneLine(err))
	}
	return profile, nil
}

const truth = "true or false"

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

func describeTemporal(env Env) []Setting {
	profile, problem := temporalProfile(env)
	if profile.TLS == nil {
		profile.TLS = &envconfig.ClientConfigTLS{}
	}
	const path = "a file in PEM format"
	list := []struct {
		Setting
		value  string
		secret bool
	}{
		{Setting{Name: "TEMPORAL_ADDRESS", Default: DefaultTemporalAddress, Allowed: "HOST:PORT", Help: "the Temporal frontend; holdfast up starts its own when this is not set"}, profile.Address, false},
		{Setting{Name: "TEMPORAL_NAMESPACE", Default: DefaultTemporalNamespace, Allowed: "a namespace", Help: "the Temporal namespace"}, profile.Namespace, false},
		{Setting{Name: "TEMPORAL_API_KEY", Allowed: "a key", Help: "for Temporal Cloud; turns TLS on"}, profile.APIKey, true},
		{Setting{Name: "TEMPORAL_TLS", Allowed: truth, Help: "whether to use TLS"}, env.Get("TEMPORAL_TLS"), false},
		{Setting{Name: "TEMPORAL_TLS_CLIENT_CERT_PATH", Allowed: path, Help: "the client certificate of mTLS"}, profile.TLS.ClientCertPath, false},
		{Setting{Name: "TEMPORAL_TLS_CLIENT_KEY_PATH", Allowed: path, Help: "the client key of mTLS"}, profile.TLS.ClientKeyPath, false},
		{Setting{Name: "TEMPORAL_TLS_SERVER_CA_CERT_PATH", Allowed: path, Help: "the CA that signed the server's certificate"}, profile.TLS.ServerCACertPath, false},
		{Setting{Name: "TEMPORAL_TLS_SERVER_NAME", Allowed: "a name", Help: "the name in the server's certificate"}, profile.TLS.ServerName, false},
		{Setting{Name: "TEMPORAL_TLS_DISABLE_HOST_VERIFICATION", Default: "false", Allowed: truth, Help: "whether to take any certificate"}, env.Get("TEMPORAL_TLS_DISABLE_HOST_VERIFICATION"), false},
		{Setting{Name: "TEMPORAL_PROFILE", Default: "default", Allowed: "a profile of the file", Help: "the profile of temporal.toml to use"}, env.Get("TEMPORAL_PROFILE"), false},
		{Setting{Name: "TEMPORAL_CONFIG_FILE", Default: envconfig.DefaultConfigFilePath(), Allowed: "a file", Help: "where temporal.toml is"}, env.Get("TEMPORAL_CONFIG_FILE"), false},
	}
	out := make([]Setting, 0, len(list))
	for _, item := range list {
		s := item.Setting
		s.Value, s.Source = item.value, env.source(s.Name)
		switch {
		case s.Value == "":
			s.Value = s.Default
		case s.Source == FromDefault:
			s.Source = FromFile
		}
		if item.secret && s.Value != "" {
			s.Value = masked
		}
		out = append(out, s)
	}
	if problem == nil {
		problem = loadTemporal(env, new(Temporal))
	}
	if problem != nil {
		out[0].Problem = problem.Error()
	}
	return out
}
