package pbxtest

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/presencebridge/presencebridge/pkg/pbxsim"
)

// modules are those that presence needs: an Asterisk with no more starts in a second.
const modules = `[modules]
autoload = no
load = pbx_config.so
load = func_presencestate.so
load = func_devstate.so
load = func_base64.so
load = func_strings.so
load = func_db.so
load = res_manager_presencestate.so
load = res_manager_devicestate.so
`

// filters are what the documentation advises for the bridge's account; older
// releases than 18.26, 20.11, 21.6 and 22.1 do not know the form.
const filters = `eventfilter(action(include),name(PresenceStateChange)) =
eventfilter(action(include),name(DeviceStateChange)) =
eventfilter(action(include),name(QueueMemberPause)) =
eventfilter(action(include),name(QueueMemberAdded)) =
eventfilter(action(include),name(QueueMemberRemoved)) =
eventfilter(action(include),name(FullyBooted)) =
eventfilter(action(include),name(Shutdown)) =
eventfilter(action(include),name(Load)) =
`

// configure writes all that the instance reads, and makes its folders.
func (p *Real) configure(o Options) error {
	for _, d := range []string{"etc", "db", "log", "spool", "run", "keys", "agi", "cache"} {
		if err := os.MkdirAll(filepath.Join(p.dir, d), 0o755); err != nil {
			return err
		}
	}
	directories, err := p.directories()
	if err != nil {
		return err
	}
	files := map[string]string{
		"asterisk.conf":   directories + "[options]\nlive_dangerously = no\n",
		"modules.conf":    o.Conf.modulesConf(),
		"manager.conf":    p.managerConf(o),
		"extensions.conf": "[general]\nstatic = yes\n[default]\nexten => 1001,hint,,CustomPresence:1001\n",
		"logger.conf":     "[general]\n[logfiles]\nfull = notice,warning,error\n",
	}
	if o.ARI {
		files["modules.conf"] += ariModules
		maps.Copy(files, p.ari(o))
	}
	if o.Queues != nil {
		files["modules.conf"] += queueModules
		files["queues.conf"] = queuesConf(o.Queues)
	}
	if o.Phones != nil {
		files["modules.conf"] += phoneModules
		files["extensions.conf"] += phoneDialplan
		files["pjsip.conf"] = p.pjsipConf(o.Phones)
	}
	maps.Copy(files, o.Conf.Files)
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(p.dir, "etc", name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// directories takes over where the installation has its parts and gives the
// instance its own of everything that is written.
func (p *Real) directories() (string, error) {
	installed, err := os.ReadFile(filepath.Join(p.install.root, "/etc/asterisk/asterisk.conf"))
	if err != nil {
		return "", fmt.Errorf("where does this Asterisk have its modules? %w", err)
	}
	var b strings.Builder
	b.WriteString("[directories]\n")
	for _, m := range regexp.MustCompile(`(?m)^(astmoddir|astvarlibdir|astdatadir)\s*=>?\s*(\S+)`).FindAllSubmatch(installed, -1) {
		fmt.Fprintf(&b, "%s => %s\n", m[1], m[2])
	}
	for key, dir := range map[string]string{
		"astetcdir": "etc", "astdbdir": "db", "astlogdir": "log", "astspooldir": "spool",
		"astrundir": "run", "astkeydir": "keys", "astagidir": "agi", "astcachedir": "cache",
	} {
		fmt.Fprintf(&b, "%s => %s/%s\n", key, p.inside, dir)
	}
	return b.String(), nil
}

func (p *Real) managerConf(o Options) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[general]\nenabled = yes\nport = %d\nbindaddr = 127.0.0.1\n", p.port)
	b.WriteString(p.text(o.Conf.General))
	for _, u := range append([]pbxsim.User{p.probe}, o.Users...) {
		fmt.Fprintf(&b, "[%s]\nsecret = %s\nread = %s\nwrite = %s\nwritetimeout = %d\n",
			u.Name, u.Secret, u.Read, u.Write, o.WriteTimeout.Milliseconds())
		if u.Name == "bridge" && major(p.version) >= 22 {
			b.WriteString(filters)
		}
		b.WriteString(o.Conf.Account[u.Name])
	}
	return b.String()
}

func major(version string) int {
	number, _, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(number)
	if err != nil {
		return 0 // a build from git: treated as old
	}
	return n
}
