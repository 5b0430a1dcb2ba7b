package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFile is the longest file that is read, in bytes: several times what 100,000 users need.
const maxFile = 16 << 20

// document is one file while it is read.
type document struct {
	file      string
	overrides map[string]override // by the path of the setting
	checking  bool                // Overrides.Checking
	numbered  bool                // statuses are named by their numbers, as who proposes some knows them
	faults    Faults
}

// override is a value from the environment or the command line.
type override struct {
	text   string
	origin string // "environment" or "command line"
	name   string // of the variable or the flag
}

// open reads and parses a file. root is broken where that cannot be done.
func open(path string) (doc *document, root value) {
	doc = &document{file: path}
	data, err := readFile(path)
	if err != nil {
		doc.faults = append(doc.faults, unreadable(path, err))
		return doc, value{doc: doc, broken: true}
	}
	return doc, doc.parse(data)
}

var errTooLong = errors.New("is too long")

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = errTooLong
	}
	return data, err
}

func unreadable(path string, err error) Fault {
	f := Fault{File: path}
	switch {
	case errors.Is(err, errTooLong):
		f.What, f.Do = fmt.Sprintf("the file is longer than %d MiB", maxFile>>20), "split the users over several bridges"
	case errors.Is(err, fs.ErrNotExist):
		f.What, f.Do = "there is no such file", "write it, or correct the name"
	case errors.Is(err, fs.ErrPermission):
		f.What, f.Do = "this user may not read it", "run: chgrp presencebridge "+path+" && chmod 640 "+path
	default:
		f.What, f.Do = reason(err), "name a file that can be read"
	}
	return f
}

// reason is err without the name of the file, which a fault has already.
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

func (d *document) parse(data []byte) value {
	broken := value{doc: d, broken: true}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var first, second yaml.Node
	err := dec.Decode(&first)
	if errors.Is(err, io.EOF) {
		d.faults = append(d.faults, Fault{File: d.file, What: "the file is empty", Do: "start from the sample that is shipped with the bridge"})
		return broken
	}
	if err != nil {
		d.faults = append(d.faults, syntax(d.file, data, err))
		return broken
	}
	switch err := dec.Decode(&second); {
	case err == nil:
		d.faults = append(d.faults, Fault{File: d.file, Line: second.Content[0].Line, What: "a second document begins here",
			Do: "remove the line --- and make one document of them"})
	case !errors.Is(err, io.EOF):
		d.faults = append(d.faults, syntax(d.file, data, err))
	}
	return d.value(first.Content[0], "")
}

var (
	syntaxLine    = regexp.MustCompile(`^yaml: line (\d+): `)
	unknownAnchor = regexp.MustCompile(`unknown anchor '(.*)' referenced`)
)

// syntax makes a fault of an error of the YAML parser. Only its constant
// sentences are passed on: the others quote the file, so possibly a secret.
func syntax(file string, data []byte, err error) Fault {
	f := Fault{File: file, What: "not valid YAML", Do: "look at the indentation, colons and quotes of this line and the one above"}
	text := err.Error()
	if m := syntaxLine.FindStringSubmatch(text); m != nil {
		f.Line, _ = strconv.Atoi(m[1])
		text = text[len(m[0]):]
	}
	if m := unknownAnchor.FindStringSubmatch(text); m != nil {
		before, _, _ := bytes.Cut(data, []byte("*"+m[1]))
		f.Line = 1 + bytes.Count(before, []byte("\n"))
		f.What, f.Do = whatAlias, doAlias
		return f
	}
	text = strings.TrimPrefix(text, "yaml: ")
	if !strings.Contains(text, "cannot decode") {
		f.What += " (" + text + ")"
	}
	return f
}
