package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/presencebridge/presencebridge/pkg/bridge"
	"github.com/presencebridge/presencebridge/pkg/message"
	"github.com/presencebridge/presencebridge/pkg/presence"
)

// Rules is what mapping.yaml says of everybody: how statuses are synchronised, and
// which there are. Its methods may be called from any goroutine.
type Rules interface {
	Read(ctx context.Context) (RuleSet, error)
	// Change returns once the file is replaced and the bridge has taken it over. It is
	// RuleFaults where the whole mapping would not be good, and nothing changes then.
	Change(ctx context.Context, c *RuleChange) (RuleSet, error)
	// Preview tells what a change would do, and changes nothing. At most so many users
	// are listed.
	Preview(ctx context.Context, proposal string, most int) (RulePreview, error)
	// Undo puts the file back to what it was before the last change of Change or Undo,
	// unless somebody else has changed it since.
	Undo(ctx context.Context, c *RuleChange) (RuleSet, error)
}

// RuleSet are the rules of a version of mapping.yaml. As JSON they are a proposal that
// changes nothing.
type RuleSet struct {
	Tag      string  `json:"-"` // of the version
	Sync     Sync    `json:"sync"`
	Statuses []Type  `json:"statuses"`
	Undo     bool    `json:"undo"`     // there is something that Undo would put back
	Warnings []Fault `json:"warnings"` // what surprises in the file
}

// Sync is the block sync of mapping.yaml.
type Sync struct {
	Enabled    bool              `json:"enabled"`
	Incoming   presence.Method   `json:"incoming"`
	Outgoing   presence.Outgoing `json:"outgoing"`
	Repeats    string            `json:"repeats"`
	Priority   []presence.TypeID `json:"priority"` // empty: Asterisk's order
	StaleAfter string            `json:"stale_after"`
	UntilText  string            `json:"until_text"`
}

// Type is a status type as mapping.yaml describes it.
type Type struct {
	ID         presence.TypeID `json:"id"`
	Name       string          `json:"name"`
	Base       presence.Base   `json:"base"`
	Color      string          `json:"color"`
	Asterisk   *presence.Image `json:"asterisk"` // null: not mapped
	Lasts      *string         `json:"lasts"`    // null: it does not end by itself
	Labels     bool            `json:"labels"`   // a choice of it may have a label
	QueuePause bool            `json:"queue_pause"`
	Tags       []string        `json:"tags"`
	System     bool            `json:"system"`
}

// RuleChange is what shall become of the rules.
type RuleChange struct {
	// Proposal is a JSON object with sync, statuses or both, by the keys of mapping.yaml.
	// A setting of sync that is left out stays as it is; statuses are all that there shall be.
	Proposal string
	Match    []string // the values of If-Match; nil: whatever is there
	By       string
	// Allow is asked before anything is written whether this may be done. nil: it may.
	Allow func(*RuleDiff) error
}

// RuleDiff is what a change does to which status types, and whether it does anything
// to sync but take from the priority what is deleted.
type RuleDiff struct {
	Created   []presence.TypeID `json:"created"`
	Modified  []presence.TypeID `json:"modified"`
	Deleted   []presence.TypeID `json:"deleted"`
	Reordered bool              `json:"reordered"`
	Sync      bool              `json:"sync"`
}

// RulePreview is what a change of the rules would do.
type RulePreview struct {
	bridge.Preview
	Changes  RuleDiff `json:"changes"`
	Warnings []Fault  `json:"warnings"` // what would surprise in the file
}

// Fault is one thing that is wrong, or surprising, in a proposal or a file.
type Fault struct {
	Field       string `json:"field"` // statuses[3].color, or where the fault is elsewhere in the mapping
	What        string `json:"what"`
	Do          string `json:"do"`
	message.Key        // of What and Do together
}

// RuleFaults are what is wrong about a proposal.
type RuleFaults []Fault

func (f RuleFaults) Error() string {
	lines := make([]string, len(f))
	for i, one := range f {
		parts := slices.DeleteFunc([]string{one.Field, one.What, one.Do}, func(s string) bool { return s == "" })
		lines[i] = strings.Join(parts, ": ")
	}
	return strings.Join(lines, "\n")
}

// Errors of Rules.
var (
	ErrRulesDiffer = errors.New("somebody has changed mapping.yaml meanwhile: read the rules again, and repeat the change if it is still wanted")
	ErrNothingPast = errors.New("there is nothing to undo: mapping.yaml is not as the last change over the API left it")
	// ErrRulesFixed says that the file cannot be changed from here. Whoever returns it says why.
	ErrRulesFixed = errors.New("the file mapping.yaml was not changed")
)

// FixedError is ErrRulesFixed with why, and what to do.
type FixedError struct {
	Why string
	message.Key
}

func (e *FixedError) Error() string { return ErrRulesFixed.Error() + ", " + e.Why }

// Unwrap is of errors.Is.
func (e *FixedError) Unwrap() error { return ErrRulesFixed }

// Matches tells whether a version is one that Match wants to change.
func (c *RuleChange) Matches(tag string) bool {
	return c.Match == nil || slices.ContainsFunc(strings.Split(strings.Join(c.Match, ","), ","), func(one string) bool {
		one = strings.TrimSpace(one) // a weak tag matches nothing here (RFC 9110, 13.1.1)
		return one == "*" || one == quoted(tag)
	})
}

func quoted(tag string) string { return `"` + tag + `"` }

const (
	// maxRules bounds a proposal, in bytes: some hundred status types.
	maxRules = 256 << 10
	// previewPage is how many users a preview lists where nobody says.
	previewPage = 100

	exampleRules = `{"sync": {"incoming": "latest"}}`
	exampleType  = `{"name": "Lunch", "base": "absent", "asterisk": "away"}`
)

// refusedRules makes of an error of Rules what the client gets.
func refusedRules(err error) error {
	var faults RuleFaults
	var fixed *FixedError
	switch {
	case errors.As(err, &faults):
		p := problem(http.StatusUnprocessableEntity, "Nothing was changed and the bridge goes on as before; correct the faults and try again.", message.As("rules.faults"))
		p.Faults, p.Errors = faults, strings.Split(faults.Error(), "\n")
		return p
	case errors.Is(err, ErrRulesDiffer):
		return problem(http.StatusPreconditionFailed, sentence(ErrRulesDiffer), message.As("rules.differ"))
	case errors.Is(err, ErrNothingPast):
		return problem(http.StatusConflict, sentence(err), message.As("rules.nothing_past"))
	case errors.As(err, &fixed):
		return problem(http.StatusConflict, sentence(err), fixed.Key)
	case errors.Is(err, ErrRulesFixed):
		return problem(http.StatusConflict, sentence(err))
	case errors.Is(err, ErrNotTakenOver):
		return problem(http.StatusServiceUnavailable, sentence(ErrNotTakenOver), message.As("rules.not_taken_over"))
	}
	return err
}

const (
	atRules       = "/api/v1/mapping/rules"
	atPreview     = "/api/v1/mapping/preview"
	atUndo        = "/api/v1/mapping/undo"
	atType        = "/api/v1/mapping/statuses/{status}"
	atTypeHistory = atType + "/history"
)

// forEditors tells which addresses are not only for administrators, but also for people
// who may do something to status types.
func forEditors(at string) bool {
	return slices.Contains([]string{atRules, atPreview, atUndo, atType, atTypeHistory}, at)
}

func (h *Handler) ruleRoutes() map[string]methods {
	all := map[string]methods{
		atRules:   {"GET": {ScopeAdmin, h.rules}, "PUT": {ScopeAdmin, h.putRules}},
		atPreview: {"POST": {ScopeAdmin, h.previewRules}},
		atUndo:    {"POST": {ScopeAdmin, h.undoRules}},
		atType:    {"GET": {ScopeAdmin, h.typeOfRules}, "PUT": {ScopeAdmin, h.putType}, "DELETE": {ScopeAdmin, h.removeType}},
	}
	if h.opt.Tokens != nil {
		all[atTypeHistory] = methods{"GET": {ScopeAdmin, h.typeHistory}}
	}
	return all
}

// change is a change of rules by who asks for it, as far as that one may.
func (r *request) change(proposal string, match []string) *RuleChange {
	return &RuleChange{Proposal: proposal, Match: match, By: r.from.actor(), Allow: r.from.mayChange}
}

func (h *Handler) rules(w http.ResponseWriter, r *request) error {
	ctx, cancel := h.call(r)
	defer cancel()
	set, err := h.opt.Rules.Read(ctx)
	if err != nil {
		return refusedRules(err)
	}
	if matches(r.Header.Values("If-None-Match"), quoted(set.Tag)) {
		tagged(w, set.Tag)
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	return answerRules(w, http.StatusOK, &set)
}

// tagged says which version of the file an answer is of.
func tagged(w http.ResponseWriter, tag string) {
	w.Header().Set("Cache-Control", "private, no-cache")
	w.Header().Set("ETag", quoted(tag))
}

func answerRules(w http.ResponseWriter, status int, set *RuleSet) error {
	tagged(w, set.Tag)
	write(w, status, "application/json", set)
	return nil
}

// proposal reads a body that proposes rules.
func proposal(w http.ResponseWriter, r *request) (string, error) {
	text, _, err := object(maxRules, w, r, exampleRules)
	return string(text), err // its keys are for the mapping to judge
}

func (h *Handler) putRules(w http.ResponseWriter, r *request) error {
	text, err := proposal(w, r)
	if err != nil {
		return err
	}
	set, err := h.changeRules(r, r.change(text, r.Header.Values("If-Match")))
	if err != nil {
		return refusedRules(err)
	}
	return answerRules(w, http.StatusOK, &set)
}

func (h *Handler) changeRules(r *request, c *RuleChange) (RuleSet, error) {
	ctx, cancel := context.WithTimeout(r.Context(), changeDeadline)
	defer cancel()
	return h.opt.Rules.Change(ctx, c)
}

func (h *Handler) previewRules(w http.ResponseWriter, r *request) error {
	limit, err := limitOf(r.URL.Query(), previewPage)
	if err != nil {
		return err
	}
	text, err := proposal(w, r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), changeDeadline)
	defer cancel()
	p, err := h.opt.Rules.Preview(ctx, text, limit)
	if err != nil {
		return refusedRules(err)
	}
	return answer(w, p)
}

func (h *Handler) undoRules(w http.ResponseWriter, r *request) error {
	ctx, cancel := context.WithTimeout(r.Context(), changeDeadline)
	defer cancel()
	set, err := h.opt.Rules.Undo(ctx, r.change("", r.Header.Values("If-Match")))
	if err != nil {
		return refusedRules(err)
	}
	return answerRules(w, http.StatusOK, &set)
}

// find returns where a status type stands, -1 if there is none.
func (s *RuleSet) find(id presence.TypeID) int {
	return slices.IndexFunc(s.Statuses, func(t Type) bool { return t.ID == id })
}

func typeID(r *request) presence.TypeID { return presence.TypeID(r.PathValue("status")) }

// noType is the error for a status type that is not there.
func (s *RuleSet) noType(id presence.TypeID) error {
	ids := make([]presence.TypeID, len(s.Statuses))
	for i, t := range s.Statuses {
		ids[i] = t.ID
	}
	near := &bridge.NearError{Err: bridge.ErrNoStatus, Name: string(id), Near: string(presence.Nearest(string(id), ids))}
	p := problem(http.StatusNotFound, sentence(near))
	p.Near = near.Near
	return p
}

func (h *Handler) typeOfRules(w http.ResponseWriter, r *request) error {
	ctx, cancel := h.call(r)
	defer cancel()
	set, err := h.opt.Rules.Read(ctx)
	if err != nil {
		return refusedRules(err)
	}
	i := set.find(typeID(r))
	if i < 0 {
		return set.noType(typeID(r))
	}
	tagged(w, set.Tag)
	write(w, http.StatusOK, "application/json", set.Statuses[i])
	return nil
}

// typeHistory is what the audit log has of a status type, which may be gone.
func (h *Handler) typeHistory(w http.ResponseWriter, r *request) error {
	return h.answerAudit(w, r, "status type", string(typeID(r)))
}

// putType makes a status type, at the end of the list, or replaces one; with
// If-None-Match: * it only makes one.
func (h *Handler) putType(w http.ResponseWriter, r *request) error {
	text, fields, err := object(maxBody, w, r, exampleType)
	if err != nil {
		return err
	}
	id := typeID(r)
	if said, ok := fields["id"]; !ok {
		text = withID(text, presence.UserID(id))
	} else if idOf(said) != presence.UserID(id) {
		return problem(http.StatusUnprocessableEntity, fmt.Sprintf("id is not %q, as the address says; leave it out, or put the status type under its own address.", id))
	}
	status := http.StatusOK
	set, err := h.changeType(r, func(now *RuleSet) (any, int, error) {
		list := raw(now.Statuses)
		i := now.find(id)
		switch {
		case i >= 0 && r.Header.Get("If-None-Match") == "*":
			return nil, 0, problem(http.StatusConflict, "There is a status type of that id already: change that one, or take another id.")
		case i >= 0:
			status, list[i] = http.StatusOK, text
		default:
			status, i, list = http.StatusCreated, len(list), append(list, text)
		}
		return map[string]any{"statuses": list}, i, nil
	})
	if err != nil {
		return err
	}
	tagged(w, set.Tag)
	if i := set.find(id); i >= 0 {
		write(w, status, "application/json", set.Statuses[i])
		return nil
	}
	return answerRules(w, status, &set) // an id that is a number in other words
}

// removeType takes a status type away, from the priority too.
func (h *Handler) removeType(w http.ResponseWriter, r *request) error {
	set, err := h.changeType(r, func(now *RuleSet) (any, int, error) {
		i := now.find(typeID(r))
		if i < 0 {
			return nil, 0, now.noType(typeID(r))
		}
		return map[string]any{
			"statuses": slices.Delete(raw(now.Statuses), i, i+1),
			"sync":     map[string]any{"priority": slices.DeleteFunc(now.Sync.Priority, func(id presence.TypeID) bool { return id == typeID(r) })},
		}, -1, nil
	})
	if err != nil {
		return err
	}
	tagged(w, set.Tag)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func raw(types []Type) []json.RawMessage {
	list := make([]json.RawMessage, len(types))
	for i := range types {
		list[i] = encode(types[i])
	}
	return list
}

// changes is how often a change of one status type is made anew where others change
// the file meanwhile.
const changes = 3

// changeType changes one status type: propose makes of the rules those that shall be,
// and says which of the statuses is meant, -1 for none.
func (h *Handler) changeType(r *request, propose func(*RuleSet) (proposal any, at int, err error)) (set RuleSet, err error) {
	c := r.change("", r.Header.Values("If-Match"))
	wants := c.Match != nil
	for try := 1; ; try++ {
		now, err := h.opt.Rules.Read(r.Context())
		if err != nil {
			return set, refusedRules(err)
		}
		if wants && !c.Matches(now.Tag) {
			return set, refusedRules(ErrRulesDiffer)
		}
		rules, at, err := propose(&now)
		if err != nil {
			return set, err
		}
		set, err := h.changeRules(r, r.change(string(encode(rules)), []string{quoted(now.Tag)}))
		if errors.Is(err, ErrRulesDiffer) && !wants && try < changes {
			continue
		}
		return set, refusedRules(ownFaults(err, at))
	}
}

// ownFaults are the faults of a proposal of which the client wrote one status type.
func ownFaults(err error, at int) error {
	var faults RuleFaults
	if !errors.As(err, &faults) {
		return err
	}
	own := fmt.Sprintf("statuses[%d]", at)
	faults = slices.Clone(faults)
	for i, f := range faults {
		if f.Field == own {
			faults[i].Field = ""
		} else if rest, ok := strings.CutPrefix(f.Field, own+"."); ok {
			faults[i].Field = rest
		}
	}
	return faults
}
