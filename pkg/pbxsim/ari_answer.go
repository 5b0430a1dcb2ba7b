package pbxsim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// answer is an HTTP response. As an error it is why a request was not even read.
type answer struct {
	status int
	text   string // of the status; "": the usual one
	header string // more of them, whole lines
	body   string
}

func (a answer) Error() string { return a.reason() }

func (a answer) reason() string {
	if a.text != "" {
		return a.text
	}
	return http.StatusText(a.status)
}

func (a answer) kind() string {
	if strings.HasPrefix(a.body, "<") {
		return "text/html"
	}
	return "application/json"
}

// done is the answer to what has nothing to tell.
func done() answer { return answer{status: http.StatusNoContent} }

// tell answers with JSON.
func tell(v any) answer {
	b := encode(v)
	return answer{status: http.StatusOK, body: string(b)}
}

// deny answers with an error of ARI.
func deny(status int, message string) answer {
	return answer{status: status, body: string(encode(object{{"message", message}}))}
}

// page answers with an error of the HTTP server below ARI (http.c:520).
func page(status int, message string) answer {
	return answer{status: status, body: fmt.Sprintf("<!DOCTYPE HTML PUBLIC \"-//IETF//DTD HTML 2.0//EN\">\r\n<html><head>\r\n"+
		"<title>%d %s</title>\r\n</head><body>\r\n<h1>%[2]s</h1>\r\n<p>%s</p>\r\n<hr />\r\n<address>Asterisk</address>\r\n</body></html>\r\n",
		status, http.StatusText(status), message)}
}

// object is a JSON object whose fields have an order, as those of Asterisk have.
type object []field

type field struct {
	name  string
	value any
}

// MarshalJSON keeps the order.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, f := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(encode(f.name))
		b.WriteByte(':')
		b.Write(encode(f.value))
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// encode writes JSON as jansson does: nothing is escaped that need not be.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // every value here is a string, a list or an object of them
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// decodeObject reads a JSON object and keeps the order of its fields.
func decodeObject(b []byte) (o object, ok bool) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return nil, false
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, false
		}
		var value any
		if err := d.Decode(&value); err != nil {
			return nil, false
		}
		o = append(o, field{fmt.Sprint(name), value})
	}
	_, err := d.Token()
	return o, err == nil
}

// set changes a field, or adds it as the last.
func (o object) set(name string, value any) object {
	for i := range o {
		if o[i].name == name {
			o[i].value = value
			return o
		}
	}
	return append(o, field{name, value})
}
