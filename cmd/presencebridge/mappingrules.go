package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"go.uber.org/zap"

	"github.com/presencebridge/presencebridge/config"
	"github.com/presencebridge/presencebridge/pkg/api"
	"github.com/presencebridge/presencebridge/pkg/message"
	"github.com/presencebridge/presencebridge/pkg/presence"
	"github.com/presencebridge/presencebridge/pkg/store"
)

// mappingRules is the api.Rules of a running bridge: it edits mapping.yaml. What it
// knows of the file it reads anew each time, since it is not alone in editing it.
type mappingRules struct{ users *mappedUsers }

func (r *mappingRules) path() string { return r.users.mappings.start.MappingPath }

// Read returns the rules of the file.
func (r *mappingRules) Read(context.Context) (api.RuleSet, error) {
	v, err := config.ReadVersion(r.path())
	if err != nil {
		return api.RuleSet{}, unreadable(err)
	}
	return r.read(v)
}

func (r *mappingRules) read(v config.Version) (api.RuleSet, error) {
	rules, faults := config.ReadRules(r.path(), v.Text)
	if errs := faults.Errors(); len(errs) > 0 {
		return api.RuleSet{}, fileFaults(errs)
	}
	_, err := v.Before(r.path())
	return ruleSet(&rules, v.Tag, err == nil, faults), nil
}

// unreadable is what a client is told of a file that cannot be read.
func unreadable(err error) error {
	return &api.FixedError{
		Why: fmt.Sprintf("since it cannot be read (%v): see what presencebridge check says", err),
		Key: message.As("rules.unreadable", "error", err.Error()),
	}
}

// planned is a change of the file that is good in itself.
type planned struct {
	now     config.Version
	text    []byte
	changes config.RuleChanges
	rules   config.Rules
	mapping *presence.Mapping
	faults  config.Faults // warnings
}

// plan makes of a proposal what the file would be.
func (r *mappingRules) plan(ctx context.Context, c *api.RuleChange) (p planned, err error) {
	if p.now, err = config.ReadVersion(r.path()); err != nil {
		return p, unreadable(err)
	}
	if !c.Matches(p.now.Tag) {
		return p, api.ErrRulesDiffer
	}
	edited, faults := config.EditRules(r.path(), p.now.Text, c.Proposal)
	switch {
	case len(faults) > 0 && faults[0].File != "":
		return p, fileFaults(faults)
	case len(faults) > 0:
		return p, ruleFaults(faults)
	}
	p.text, p.changes, p.rules = edited.Text, edited.Changes, edited.Rules
	return p, r.load(ctx, &p)
}

// load makes the mapping of the text of p.
func (r *mappingRules) load(ctx context.Context, p *planned) error {
	cfg, err := readAgain(r.users.mappings.start, r.users.mappings.load, zap.NewNop())
	if err != nil {
		return loadFaults(err)
	}
	mapping, stored, faults := config.LoadMapping(r.path(), p.text, cfg.Daemon.PBX)
	if mapping != nil && stored != nil {
		ctx, cancel := context.WithTimeout(ctx, mappingWait)
		defer cancel()
		var more config.Faults
		if mapping, more, err = stored.Mapping(definitions(r.users.mappings.store.Mapped(ctx))); err != nil {
			return err
		}
		faults = append(faults, more...)
	}
	if mapping == nil {
		return ruleFaults(faults.Errors())
	}
	p.mapping, p.faults = mapping, faults
	return nil
}

// Preview tells what a proposal would do.
func (r *mappingRules) Preview(ctx context.Context, proposal string, most int) (api.RulePreview, error) {
	p, err := r.plan(ctx, &api.RuleChange{Proposal: proposal})
	if err != nil {
		return api.RulePreview{}, err
	}
	seen, err := r.users.bridge.Preview(ctx, p.mapping, most)
	return api.RulePreview{Preview: seen, Changes: *diffOf(&p.changes), Warnings: faultsOf(p.faults.Warnings())}, err
}

// Change validates a proposal, writes it into the file, and makes the bridge take it over.
func (r *mappingRules) Change(ctx context.Context, c *api.RuleChange) (api.RuleSet, error) {
	r.users.changing.Lock() // a user could be put who does not go with the new rules
	defer r.users.changing.Unlock()
	p, err := r.plan(ctx, c)
	if err != nil {
		return api.RuleSet{}, err
	}
	return r.carryOut(ctx, c, &p, actsOf(c.By, &p))
}

// Undo puts back what the file was before.
func (r *mappingRules) Undo(ctx context.Context, c *api.RuleChange) (api.RuleSet, error) {
	r.users.changing.Lock()
	defer r.users.changing.Unlock()
	p, err := r.past(c)
	if err == nil {
		err = r.load(ctx, &p)
	}
	if err != nil {
		return api.RuleSet{}, err
	}
	return r.carryOut(ctx, c, &p, append([]store.Act{{By: c.By, Did: "mapping put back"}}, actsOf(c.By, &p)...))
}

// past is the change that puts back what the file was before.
func (r *mappingRules) past(c *api.RuleChange) (p planned, err error) {
	if p.now, err = config.ReadVersion(r.path()); err != nil {
		return p, unreadable(err)
	}
	if !c.Matches(p.now.Tag) {
		return p, api.ErrRulesDiffer
	}
	before, err := p.now.Before(r.path())
	if errors.Is(err, config.ErrNoBefore) {
		return p, api.ErrNothingPast
	} else if err != nil {
		return p, unreadable(err)
	}
	p.text = before.Text
	now, faults := config.ReadRules(r.path(), p.now.Text)
	if errs := faults.Errors(); len(errs) > 0 {
		return p, fileFaults(errs)
	}
	p.rules, faults = config.ReadRules(r.path(), p.text)
	if errs := faults.Errors(); len(errs) > 0 {
		return p, fileFaults(errs)
	}
	p.changes = config.Compare(&now, &p.rules)
	return p, nil
}

// carryOut writes p and makes the bridge take it over.
func (r *mappingRules) carryOut(ctx context.Context, c *api.RuleChange, p *planned, acts []store.Act) (api.RuleSet, error) {
	if c.Allow != nil {
		if err := c.Allow(diffOf(&p.changes)); err != nil {
			return api.RuleSet{}, err
		}
	}
	next := p.now
	if string(p.text) != string(p.now.Text) {
		var err error
		if next, err = r.save(p); err != nil {
			return api.RuleSet{}, err
		}
		r.note(ctx, acts)
		if err := r.users.takeOver(ctx); err != nil {
			return api.RuleSet{}, err
		}
	}
	_, err := next.Before(r.path())
	return ruleSet(&p.rules, next.Tag, err == nil, p.faults), nil
}

func (r *mappingRules) save(p *planned) (config.Version, error) {
	next, err := p.now.Save(r.path(), p.text)
	switch {
	case errors.Is(err, config.ErrChanged):
		return next, api.ErrRulesDiffer
	case err != nil:
		r.users.mappings.log.Error("the mapping was not changed", zap.String("mapping", r.path()), zap.Error(err))
		why := reasonOf(err)
		return next, &api.FixedError{
			Why: fmt.Sprintf("since the bridge cannot replace it (%v): presencebridge doctor, as root, says what to do; or edit the file by hand", why),
			Key: message.As("rules.not_replaced", "error", why.Error()),
		}
	}
	return next, nil
}

// noteWait bounds the writing of what was done.
const noteWait = 5 * time.Second

// note keeps what was done. It is done already, whatever the store says.
func (r *mappingRules) note(ctx context.Context, acts []store.Act) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteWait)
	defer cancel()
	for i := range acts {
		acts[i].At = time.Now()
		if err := r.users.store.Note(ctx, &acts[i]); err != nil {
			r.users.mappings.log.Error("the store did not take a line of the audit log", zap.String("by", acts[i].By), zap.String("did", acts[i].Did),
				zap.String("what", acts[i].What), zap.Error(err))
		}
	}
}

// actsOf are the lines of the audit log, each with the id of its status type first.
func actsOf(by string, p *planned) (acts []store.Act) {
	add := func(did, what string) {
		if len(what) > maxNamed {
			what = what[:maxNamed]
			for !utf8.ValidString(what) {
				what = what[:len(what)-1]
			}
			what += "..."
		}
		acts = append(acts, store.Act{By: by, Did: did, What: what})
	}
	for _, list := range []struct {
		did   string
		types []config.TypeChange
	}{{"status type created", p.changes.Created}, {"status type modified", p.changes.Modified}, {"status type deleted", p.changes.Deleted}} {
		for _, t := range list.types {
			add(list.did, string(t.ID)+": "+t.What)
		}
	}
	if p.changes.Reordered {
		var ids []string
		for _, t := range p.rules.Statuses {
			ids = append(ids, string(t.ID))
		}
		add("status types reordered", strings.Join(ids, " "))
	}
	if p.changes.Sync != "" {
		add("sync settings changed", p.changes.Sync)
	}
	return acts
}

func diffOf(c *config.RuleChanges) *api.RuleDiff {
	ids := func(list []config.TypeChange) []presence.TypeID {
		all := make([]presence.TypeID, len(list))
		for i, t := range list {
			all[i] = t.ID
		}
		return all
	}
	return &api.RuleDiff{Created: ids(c.Created), Modified: ids(c.Modified), Deleted: ids(c.Deleted), Reordered: c.Reordered, Sync: c.Sync != "" && !c.Follows}
}

// ruleSet is rules as the API has them.
func ruleSet(rules *config.Rules, tag string, undo bool, faults config.Faults) api.RuleSet {
	s := rules.Sync
	set := api.RuleSet{Tag: tag, Undo: undo, Warnings: faultsOf(faults.Warnings()), Statuses: []api.Type{}, Sync: api.Sync{
		Enabled: s.Enabled, Incoming: s.Incoming, Outgoing: s.Outgoing, Repeats: s.Repeats(), Priority: append([]presence.TypeID{}, s.Priority...),
		StaleAfter: config.DurationText(s.StaleAfter), UntilText: s.UntilText,
	}}
	for _, t := range rules.Statuses {
		one := api.Type{ID: t.ID, Name: t.Name, Base: t.Base, Color: t.Color, Asterisk: t.Asterisk, Labels: t.Labels, QueuePause: t.QueuePause, System: t.System, Tags: []string{}}
		if t.Lasts > 0 {
			lasts := config.DurationText(t.Lasts)
			one.Lasts = &lasts
		}
		if t.Tagged != nil {
			one.Tags = t.Tagged.Tags
		}
		set.Statuses = append(set.Statuses, one)
	}
	return set
}

// faultsOf are faults as the API has them, some hundred at most: a status type that is
// gone may be a fault of every user.
func faultsOf(faults config.Faults) []api.Fault {
	list := []api.Fault{}
	for i, f := range faults {
		if i == maxFaults {
			return append(list, api.Fault{What: fmt.Sprintf("and %d more", len(faults)-i), Key: message.As("rules.more", "n", strconv.Itoa(len(faults)-i))})
		}
		field := f.Path
		if strings.HasPrefix(f.File, "user ") { // one of the store
			field = strings.TrimSuffix(f.File+": "+f.Path, ": ")
		}
		list = append(list, api.Fault{Field: field, What: f.What, Do: f.Do, Key: f.Key})
	}
	return list
}

func ruleFaults(faults config.Faults) error { return api.RuleFaults(faultsOf(faults)) }

// fileFaults are those of a file as it is, with the lines to look at.
func fileFaults(faults config.Faults) error {
	list := faultsOf(faults)
	for i := range min(len(list), len(faults)) {
		if line := faults[i].Line; line > 0 {
			list[i].Key = message.As("rules.in_file", "line", strconv.Itoa(line), "file", faults[i].File, "fault", list[i].What+": "+list[i].Do)
			list[i].What = fmt.Sprintf("line %d of %s: %s", line, faults[i].File, list[i].What)
		}
	}
	return api.RuleFaults(list)
}

// loadFaults are those of the files that go with the mapping.
func loadFaults(err error) error {
	var faults config.Faults
	if errors.As(err, &faults) {
		return fileFaults(faults)
	}
	return api.RuleFaults{{What: err.Error(), Do: "correct that first", Key: message.As("rules.elsewhere", "error", err.Error())}}
}

// reasonOf is an error without the names of the files that come and go meanwhile.
func reasonOf(err error) error {
	var errno syscall.Errno
	if errors.Is(err, config.ErrNotKept) {
		return config.ErrNotKept
	}
	if errors.As(err, &errno) {
		return errno
	}
	return err
}
