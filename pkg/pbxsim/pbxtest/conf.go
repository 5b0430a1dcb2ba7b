package pbxtest

import "strings"

// Conf is what the files of a real Asterisk have beside what every test needs,
// for tests of wrong ones. In a text {etc} stands for the folder of the files.
type Conf struct {
	General string            // more lines for [general] of manager.conf
	HTTP    string            // more lines for [general] of http.conf, with Options.ARI
	Account map[string]string // more lines for accounts, by name
	NoLoad  []string          // modules that are not loaded, as modules.conf names them
	Files   map[string]string // more files, by name
}

// text fills in where the files are, as Asterisk sees it.
func (p *Real) text(s string) string {
	return strings.ReplaceAll(s, "{etc}", p.inside+"/etc")
}

// modulesConf is modules without those that shall not be loaded.
func (c Conf) modulesConf() string {
	text := modules
	for _, m := range c.NoLoad {
		text = strings.Replace(text, "load = "+m+"\n", "noload = "+m+"\n", 1)
	}
	return text
}
