package config

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestTracingIsRead(t *testing.T) {
	for _, tc := range []struct {
		name, block, token string
		want               Tracing
	}{
		{"nothing", "", "", Tracing{}},
		{"nowhere", `{endpoint: "", sample: 0.5}`, "", Tracing{}},
		{"an address alone", "{endpoint: 'http://127.0.0.1:4318'}", "", Tracing{URL: "http://127.0.0.1:4318/v1/traces", Share: 0.01}},
		{"an address with a path", "{endpoint: 'https://otel.example.com/otlp/', sample: 1}", "", Tracing{URL: "https://otel.example.com/otlp/v1/traces", Share: 1, TLS: TLS{Enabled: true}}},
		{"an address with all of it", "{endpoint: 'https://otel.example.com/v1/traces', sample: 0}", "", Tracing{URL: "https://otel.example.com/v1/traces", TLS: TLS{Enabled: true}}},
		{"another machine", "{endpoint: 'http://otel:4318', insecure: true, users: true}", "", Tracing{URL: "http://otel:4318/v1/traces", Share: 0.01, Users: true}},
		{"a token", "{endpoint: 'http://[::1]:4318', token_file: ami-secret}", "hunter2", Tracing{URL: "http://[::1]:4318/v1/traces", Share: 0.01, Header: "Authorization"}},
		{"a token in a header of its own", "{endpoint: 'http://localhost:4318', token_file: ami-secret, header: X-Key}", "hunter2", Tracing{URL: "http://localhost:4318/v1/traces", Share: 0.01, Header: "X-Key"}},
		{"TLS", "{endpoint: 'https://otel:4318', tls: {ca_file: ca.pem, server_name: x}}", "", Tracing{URL: "https://otel:4318/v1/traces", Share: 0.01, TLS: TLS{Enabled: true, CAFile: "ca.pem", ServerName: "x"}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := folder(t)
			write(t, "ca.pem", authority())
			if tc.block != "" {
				write(t, "presencebridge.yaml", read(t, "presencebridge.yaml")+"tracing: "+tc.block+"\n")
			}
			got := mustLoad(t, Overrides{}).Daemon.Tracing
			if got.Token.Reveal() != tc.token {
				t.Errorf("token %q", got.Token.Reveal())
			}
			if got.Token = (Secret{}); tc.want.TLS.CAFile != "" {
				tc.want.TLS.CAFile = filepath.Join(dir, tc.want.TLS.CAFile)
			}
			if got != tc.want {
				t.Errorf("read %+v, want %+v", got, tc.want)
			}
		})
	}
}

// TestTheSampleOfTracingIsClean fills in what stands ready in the sample.
func TestTheSampleOfTracingIsClean(t *testing.T) {
	daemon := read(t, "presencebridge.yaml")
	folder(t)
	daemon = strings.Replace(daemon, `endpoint: ""`, "endpoint: http://127.0.0.1:4318", 1)
	write(t, "presencebridge.yaml", strings.Replace(daemon, "  #token_file: collector-token", "  token_file: collector-token", 1))
	write(t, "collector-token", "Basic dXNlcg==\n")
	cfg, faults := Load("presencebridge.yaml", Overrides{})
	if len(faults) > 0 || cfg == nil {
		t.Fatalf("the sample has faults:\n%v", faults)
	}
	got := cfg.Daemon.Tracing
	if got.Token.Reveal() != "Basic dXNlcg==" || got.Share != 0.01 || got.Users || got.Header != "Authorization" {
		t.Errorf("read %+v", got)
	}
}

func TestTracingCanComeFromTheEnvironment(t *testing.T) {
	folder(t)
	for name, value := range map[string]string{"ENDPOINT": "https://otel:4318", "SAMPLE": "0.25", "USERS": "true", "TOKEN_FILE": "ami-secret", "HEADER": "X-Key"} {
		t.Setenv("PRESENCEBRIDGE_TRACING_"+name, value)
	}
	got := mustLoad(t, Overrides{}).Daemon.Tracing
	if got.URL != "https://otel:4318/v1/traces" || got.Share != 0.25 || !got.Users || got.Token.Reveal() != "hunter2" || got.Header != "X-Key" {
		t.Errorf("read %+v", got)
	}
}
