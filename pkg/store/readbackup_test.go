package store

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
)

// sealed is a backup with these lines, whatever they are.
func sealed(text string) []byte {
	return zipped(fmt.Sprintf("%s{\"sha256\":\"%x\"}\n", text, sha256.Sum256([]byte(text))))
}

func zipped(text string) []byte {
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	_, _ = io.WriteString(zip, text) // a buffer takes everything
	_ = zip.Close()
	return b.Bytes()
}

const (
	goodHead = `{"presencebridge":"backup","version":1,"schema":3,"made":"2026-11-25T23:00:00Z","rows":3}` + "\n"
	goodRows = `{"table":"pbxs","columns":["heard","name","incarnation"]}` + "\n" + `[null,"main","a"]` + "\n" +
		`["2026-11-22T12:00:00.000000Z","branch","it's \"two\"\nlines"]` + "\n" +
		`{"table":"history","columns":["user_id","version"]}` + "\n" + `["alice",9223372036854775807]` + "\n"
)

// readRows reads a backup, and everything that it has as one text.
func readRows(file []byte) (rows string, b *wholeBackup, err error) {
	b, err = readBackup(bytes.NewReader(file), 6, func(p *backupPart, list [][]any) error {
		rows += fmt.Sprintf("%s %v %#v\n", p.table.name, p.columns, list)
		return nil
	})
	return rows, b, err
}

func TestAWholeBackupIsRead(t *testing.T) {
	var got []string
	b, err := readBackup(bytes.NewReader(sealed(goodHead+goodRows)), 6, func(p *backupPart, list [][]any) error {
		for _, row := range list {
			got = append(got, fmt.Sprintf("%s%v%v", p.table.name, names(p.columns), row))
		}
		return nil
	})
	want := []string{
		"pbxs[heard name incarnation][<nil> main a]",
		"pbxs[heard name incarnation][2026-11-22T12:00:00.000000Z branch it's \"two\"\nlines]",
		"history[user_id version][alice 9223372036854775807]",
	}
	if err != nil || !reflect.DeepEqual(got, want) || b.Schema != 3 || b.Rows != 3 || len(b.parts) != 2 {
		t.Errorf("%+v, %v, rows %q", b, err, got)
	}
}

func TestADamagedBackupIsRefused(t *testing.T) {
	good := sealed(goodHead + goodRows)
	want, _, err := readRows(good)
	if err != nil {
		t.Fatal(err)
	}
	for n := range good {
		if _, _, err := readRows(good[:n]); !errors.Is(err, ErrBackup) {
			t.Errorf("cut after %d of %d bytes: %v", n, len(good), err)
		}
		for bit := range 8 {
			flipped := bytes.Clone(good)
			flipped[n] ^= 1 << bit
			// Some bits are of nothing, such as the time in the header of gzip.
			if rows, _, err := readRows(flipped); !errors.Is(err, ErrBackup) && (err != nil || rows != want) {
				t.Errorf("bit %d of byte %d flipped: %v, rows %s", bit, n, err, rows)
			}
		}
	}
}

func TestABackupThatIsNotOneIsRefused(t *testing.T) {
	head := func(old, new string) string { return strings.Replace(goodHead, old, new, 1) + goodRows }
	for _, tc := range []struct {
		name, want string
		file       []byte
		is         error
	}{
		{"nothing", "take another file", nil, ErrBackup},
		{"a database", "take another file", []byte("SQLite format 3\x00"), ErrBackup},
		{"a line that is no JSON", "it is something else", zipped("hello\n"), ErrBackup},
		{"nothing within", "end is missing", zipped(""), ErrBackup},
		{"JSON of something else", "it is something else", sealed("{}\n"), ErrBackup},
		{"no end", "end is missing", zipped(goodHead + goodRows), ErrBackup},
		{"an end in the middle of a line", "unexpected EOF", zipped(strings.TrimSuffix(goodHead, "\n")), ErrBackup},
		{"more after the end", "goes on", append(sealed(goodHead+goodRows), zipped("[]\n")...), ErrBackup},
		{"rubbish after the end", "invalid header", append(sealed(goodHead+goodRows), "0123456789"...), ErrBackup},
		{"another text", "checksum", zipped(strings.Replace(goodHead+goodRows, "main", "mine", 1) + fmt.Sprintf("{\"sha256\":\"%x\"}\n", sha256.Sum256([]byte(goodHead+goodRows)))), ErrBackup},
		{"a newer schema", "schema of the backup is 7 and this version knows 6", sealed(head(`"schema":3`, `"schema":7`)), ErrNewer},
		{"a newer form", "form 2", sealed(head(`"version":1`, `"version":2,"more":[]`)), ErrNewer},
		{"a schema of zero", "first line is damaged", sealed(head(`"schema":3`, `"schema":0`)), ErrBackup},
		{"an unknown field", "first line is damaged", sealed(head(`"rows":3`, `"rows":3,"x":1`)), ErrBackup},
		{"too few rows", "3 rows of 4", sealed(head(`"rows":3`, `"rows":4`)), ErrBackup},
		{"too many rows", "where there should be none", sealed(head(`"rows":3`, `"rows":2`)), ErrBackup},
		{"rows of no table", "where there should be none", sealed(goodHead + "[1]\n"), ErrBackup},
		{"an unknown table", `the table "lease"`, sealed(goodHead + `{"table":"lease","columns":["id"]}` + "\n"), ErrBackup},
		{"a table twice", `the table "pbxs"`, sealed(goodHead + goodRows + `{"table":"pbxs","columns":["name"]}` + "\n"), ErrBackup},
		{"an unknown column", `the column "name) VALUES (1); --"`, sealed(goodHead + `{"table":"pbxs","columns":["name) VALUES (1); --"]}` + "\n"), ErrBackup},
		{"a column twice", `the column "name"`, sealed(goodHead + `{"table":"pbxs","columns":["name","name"]}` + "\n"), ErrBackup},
		{"no columns", "no columns", sealed(goodHead + `{"table":"pbxs","columns":[]}` + "\n"), ErrBackup},
		{"a row too short", "2 values for 3 columns", sealed(strings.Replace(goodHead+goodRows, `[null,"main","a"]`, `[null,"main"]`, 1)), ErrBackup},
		{"a number for text", "name is 1", sealed(strings.Replace(goodHead+goodRows, `"main"`, `1`, 1)), ErrBackup},
		{"text for a number", "version is no number", sealed(strings.Replace(goodHead+goodRows, `9223372036854775807`, `"1"`, 1)), ErrBackup},
		{"a number too high", "version is 9223372036854775808", sealed(strings.Replace(goodHead+goodRows, `807]`, `808]`, 1)), ErrBackup},
		{"a fraction", "version is 1.5", sealed(strings.Replace(goodHead+goodRows, `9223372036854775807`, `1.5`, 1)), ErrBackup},
		{"an object for text", "neither text nor a number", sealed(strings.Replace(goodHead+goodRows, `"main"`, `{}`, 1)), ErrBackup},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, _, err := readRows(tc.file)
			if !errors.Is(err, tc.is) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("read = %v, want %q", err, tc.want)
			}
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %v", err)
			}
		})
	}
}

// A small file can be very much text.
func TestALineOfABackupIsBounded(t *testing.T) {
	r, w := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		zip := gzip.NewWriter(w)
		_, err := io.WriteString(zip, goodHead)
		for block := bytes.Repeat([]byte(" "), 1<<20); err == nil; {
			_, err = zip.Write(block)
		}
	}()
	_, err := readBackup(r, 5, func(*backupPart, [][]any) error { return nil })
	_ = r.Close()
	<-done
	if !errors.Is(err, ErrBackup) || !strings.Contains(err.Error(), "too long") {
		t.Errorf("read = %v", err)
	}
}

func FuzzReadBackup(f *testing.F) {
	f.Add([]byte(goodHead + goodRows))
	f.Add([]byte("{}\n[]\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := readBackup(bytes.NewReader(sealed(string(text))), 6, func(p *backupPart, list [][]any) error {
			for _, row := range list {
				for i, v := range row {
					switch v.(type) {
					case nil:
					case string:
						if p.columns[i].number {
							t.Errorf("text in %s", p.columns[i].name)
						}
					case int64:
						if !p.columns[i].number {
							t.Errorf("a number in %s", p.columns[i].name)
						}
					default:
						t.Errorf("%T in %s", v, p.columns[i].name)
					}
				}
			}
			return nil
		})
		if (b == nil) == (err == nil) {
			t.Errorf("%v and %v", b, err)
		}
	})
}
