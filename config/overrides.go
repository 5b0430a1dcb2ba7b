package config

import (
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

const (
	envPrefix  = "PRESENCEBRIDGE_"
	testPrefix = envPrefix + "TEST_" // read by tests, never by the bridge
)

// Overrides stand in for lines of presencebridge.yaml, whatever the file says:
// a flag that was given, else PRESENCEBRIDGE_LOG_LEVEL and the like. A variable
// that is empty counts as not set.
type Overrides struct {
	Flags map[string]*pflag.Flag // by the path of the setting, such as log.level

	// Checking is for who only looks: a secret that this user may not read is no
	// fault then. Who edits the mapping sees no secret.
	Checking bool
}

// overridable lists the settings that stand in no list.
func overridable() []string {
	return []string{
		"mapping",
		"store.driver", "store.dsn", "store.password_file", "store.insecure", "store.history_days",
		"http.socket", "http.listen", "http.metrics", "http.insecure", "http.max_connections", "http.tls.cert_file", "http.tls.key_file",
		"tracing.endpoint", "tracing.sample", "tracing.users", "tracing.header", "tracing.token_file", "tracing.insecure",
		"log.level", "log.format",
	}
}

// Environment lists the variables that stand in for a setting.
func Environment() []string {
	names := overridable()
	for i, key := range names {
		names[i] = envName(key)
	}
	return names
}

func envName(key string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// read collects the overrides. Viper sees only them, never a file: it lower-cases
// keys and turns 0123 into 83.
func (o Overrides) read(doc *document) map[string]override {
	v := viper.NewWithOptions(viper.KeyDelimiter("\x1f")) // so that log.level is one key
	found := make(map[string]override)
	var names []string
	for _, key := range overridable() {
		names = append(names, envName(key))
		_ = v.BindEnv(key, envName(key)) // errs only without a key
		origin, name := "environment", envName(key)
		if flag := o.Flags[key]; flag != nil && flag.Changed {
			_ = v.BindPFlag(key, flag) // errs only without a flag
			origin, name = "command line", "--"+flag.Name
		}
		if v.IsSet(key) {
			found[key] = override{text: v.GetString(key), origin: origin, name: name}
		}
	}
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, envPrefix) && !strings.HasPrefix(name, testPrefix) && !slices.Contains(names, name) {
			doc.faults = append(doc.faults, Fault{File: "environment", Path: name, What: "no such setting", Do: suggest(name, names)})
		}
	}
	return found
}
