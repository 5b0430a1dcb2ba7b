package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

//go:embed templates assets messages
var files embed.FS

// assets are what pages are made of. Their address has a hash of all of them in it,
// so that a browser keeps them for ever and never mixes two versions.
type assets struct {
	prefix string           // of their addresses, with a slash at its end
	files  map[string]asset // by the rest of the address
}

type asset struct {
	kind   string // as in Content-Type
	text   []byte
	zipped []byte // nil: not worth it
}

// kinds are the media types by the end of a file's name. What the system would say
// depends on its files.
var kinds = map[string]string{
	".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".json": "application/json", ".svg": "image/svg+xml",
}

func newAssets() (*assets, error) {
	a := &assets{files: map[string]asset{}}
	sum := sha256.New()
	add := func(at string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := files.ReadFile(at)
		if err != nil {
			return err
		}
		kind, ok := kinds[path.Ext(at)]
		if !ok {
			return fmt.Errorf("%s: nobody knows what kind of file that is", at)
		}
		fmt.Fprintf(sum, "%s %d\n%s", at, len(text), text)
		a.files[strings.TrimPrefix(at, "assets/")] = asset{kind, text, zip(text)}
		return nil
	}
	for _, folder := range []string{"assets", "messages"} {
		if err := fs.WalkDir(files, folder, add); err != nil {
			return nil, err
		}
	}
	a.prefix = "/assets/" + hex.EncodeToString(sum.Sum(nil))[:16] + "/"
	return a, nil
}

// zip returns text compressed, nil if that is no shorter.
func zip(text []byte) []byte {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil
	}
	if _, err := w.Write(text); err != nil || w.Close() != nil || b.Len() >= len(text) {
		return nil
	}
	return b.Bytes()
}

// ServeHTTP sends one of them.
func (a *assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	found, ok := a.files[strings.TrimPrefix(r.URL.Path, a.prefix)]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Content-Type", found.kind)
	h.Set("Vary", "Accept-Encoding")
	text := found.text
	if found.zipped != nil && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		text = found.zipped
	}
	_, _ = w.Write(text)
}
