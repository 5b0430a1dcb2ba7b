package config

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"
)

// paths resolves names that stand in a file. systemd says where things belong by
// variables (man 5 systemd.exec).
//
//	what              relative to, if set          else
//	mapping           -                            the file
//	store.dsn         STATE_DIRECTORY              the file
//	http.socket       RUNTIME_DIRECTORY            the file
//	*_file            CREDENTIALS_DIRECTORY,       the file
//	                  if it is there
type paths struct{ dir string }

func pathsFor(file string) paths { return paths{filepath.Dir(file)} }

func (p paths) beside(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(p.dir, name)
}

// in returns name below the folder that a variable of systemd names.
func (p paths) in(variable, name string) string {
	// systemd joins several folders by colons; the first is the main one.
	dir, _, _ := strings.Cut(os.Getenv(variable), ":")
	if dir == "" || filepath.IsAbs(name) {
		return p.beside(name)
	}
	return filepath.Join(dir, name)
}

func (p paths) credential(name string) string {
	if dir := os.Getenv("CREDENTIALS_DIRECTORY"); dir != "" && !filepath.IsAbs(name) {
		if path := filepath.Join(dir, name); exists(path) {
			return path
		}
	}
	return p.beside(name)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// maxHeader bounds a secret and a name, in bytes: the manager reads lines of at
// most 1023 (main/manager.c), the name of the header included.
const maxHeader = 512

// secretKeys says how a block names its secret.
type secretKeys struct {
	inline, file string // keys
	what, whose  string // in sentences
}

var (
	amiSecret = secretKeys{"secret", "secret_file", "secret", "the manager user"}
	ariSecret = secretKeys{"password", "password_file", "password", "the user of ARI"}

	storeSecret = secretKeys{"password", "password_file", "password", "the user of the database"}
)

// read reads the secret of an account from its file, or from the block itself.
func (k secretKeys) read(account object, p paths) Secret {
	inline, file := account.at(k.inline), account.at(k.file)
	switch {
	case inline.broken || file.broken:
	case !inline.missing() && !file.missing():
		inline.fault("both "+k.inline+" and "+k.file+" are given", "remove "+k.inline)
	case !inline.missing():
		inline.warn("everybody who may read this file learns the "+k.what, "move it to a file of its own and name that as "+k.file)
		return NewSecret(readLine(inline))
	case !file.missing():
		if name, ok := file.required(); ok {
			return k.load(file, p, name)
		}
	default:
		file.fault("there is no "+k.what, "write the "+k.what+" of "+k.whose+" into a file, run chmod 640 on it, and name it here")
	}
	return Secret{}
}

func (k secretKeys) load(v value, p paths, name string) Secret {
	path := p.credential(name)
	info, err := os.Stat(path)
	if err == nil && !info.IsDir() && info.Mode().Perm()&0o004 != 0 {
		v.fault("everybody on this machine may read "+path, "run: chmod 640 "+path)
		return Secret{}
	}
	data, err := readFile(path)
	if errors.Is(err, fs.ErrPermission) && v.doc.checking {
		return Secret{}
	}
	if err != nil {
		f := unreadable(path, err)
		if errors.Is(err, fs.ErrPermission) { // to let a group read it would show it to who edits the mapping
			f.Do = "run this as root, or as the user of the bridge if that one may"
		}
		v.fault(path+": "+f.What, f.Do)
		return Secret{}
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	switch {
	case text == "":
		into := "it"
		if file := p.beside(name); file != path { // systemd's copy, which nobody can write
			into = file + ", or where else LoadCredential= has it from"
		}
		v.fault(path+" is empty", "write the "+k.what+" of "+k.whose+" into "+into)
	case strings.ContainsFunc(text, isControl):
		v.fault(path+" has more than one line, or control characters", "leave nothing but the "+k.what+" in it")
	case len(text) > maxHeader:
		v.fault(fmt.Sprintf("%s holds %d bytes, more than can be sent", path, len(text)),
			fmt.Sprintf("use a %s of at most %d bytes", k.what, maxHeader))
	}
	return NewSecret(text)
}

// checkCertificates tells whether path holds the authorities that TLS shall trust.
func checkCertificates(v value, path string) {
	data, err := readFile(path)
	if err != nil {
		f := unreadable(path, err)
		v.fault(path+": "+f.What, f.Do)
		return
	}
	if !x509.NewCertPool().AppendCertsFromPEM(data) {
		v.fault(path+" holds no certificate", "name a file in PEM form, with -----BEGIN CERTIFICATE-----")
	}
}

func isControl(r rune) bool { return unicode.IsControl(r) }

// unprintable tells whether r can stand in no id and no name of a host.
func unprintable(r rune) bool {
	return r == '/' || r == unicode.ReplacementChar || !unicode.IsGraphic(r) || unicode.IsSpace(r)
}
