package pbxsim

import "fmt"

// SetRow writes a row of the AstDB as `database put` does on the console; "" is a
// value, too.
func (p *PBX) SetRow(family, key, value string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.put(family+"/"+key, value)
}

// dbGet answers with a list of one (main/db.c, manager_dbget).
func (s *session) dbGet(a action) {
	family, key := a.header("Family"), a.header("Key")
	value, ok := s.pbx.db[family+"/"+key]
	switch {
	case family == "":
		s.failure(a, "No family specified.")
	case key == "":
		s.failure(a, "No key specified.")
	case !ok:
		s.failure(a, "Database entry not found")
	default:
		s.respond(a, "Success", "EventList: start\r\nMessage: Result will follow\r\n")
		s.queue(fmt.Appendf(nil, "Event: DBGetResponse\r\nFamily: %s\r\nKey: %s\r\nVal: %s\r\n%s\r\n", family, key, value, idLine(a)))
		s.queue(fmt.Appendf(nil, "Event: DBGetComplete\r\n%sEventList: Complete\r\nListItems: 1\r\n\r\n", idLine(a)))
	}
}
