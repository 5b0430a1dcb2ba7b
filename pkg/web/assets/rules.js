// The rules of the mapping as they are edited: what the bridge has, and what is wanted.

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
export const copy = (x) => structuredClone(x);

/** Draft is an edit of the rules. Nothing is sent before it is saved. */
export class Draft {
	constructor(rules, tag) {
		this.base = rules;
		this.tag = tag;
		this.want = copy(rules);
	}

	/** changes counts what differs from what the bridge has. */
	get changes() {
		const { base, want } = this;
		const settings = Object.keys(want.sync).filter((k) => !same(want.sync[k], base.sync[k])).length;
		const ids = new Set([...base.statuses, ...want.statuses].map((s) => s.id));
		const types = [...ids].filter((id) => !same(find(base, id), find(want, id))).length;
		return settings + types;
	}

	/** proposal is what the API takes: only what differs. */
	get proposal() {
		const { base, want } = this, p = {};
		const sync = Object.fromEntries(Object.entries(want.sync).filter(([k, v]) => !same(v, base.sync[k])));
		if (Object.keys(sync).length) p.sync = sync;
		if (!same(want.statuses, base.statuses)) p.statuses = want.statuses;
		return p;
	}

	/**
	 * rebase takes over what somebody else has saved meanwhile, and keeps what was changed
	 * here. It returns the names of the status types that both have changed.
	 */
	rebase(rules, tag) {
		const { base, want } = this;
		const both = base.statuses.filter((s) => !same(s, find(want, s.id)) && !same(s, find(rules, s.id))).map((s) => s.name);
		const next = copy(rules);
		for (const [k, v] of Object.entries(want.sync)) if (!same(v, base.sync[k])) next.sync[k] = v;
		for (const s of want.statuses) {
			if (same(s, find(base, s.id))) continue;
			const at = next.statuses.findIndex((x) => x.id === s.id);
			if (at < 0) next.statuses.push(s);
			else next.statuses[at] = s;
		}
		next.statuses = next.statuses.filter((s) => find(want, s.id) || !find(base, s.id));
		Object.assign(this, { base: rules, tag, want: next });
		return both;
	}

	find(id) { return find(this.want, id); }
}

const find = (rules, id) => rules.statuses.find((s) => s.id === id);

/** imageOf is the presence of a status as {state, subtype}; null: it is not mapped. */
export const imageOf = ({ asterisk }) => asterisk && { subtype: "", ...asterisk };

const states = ["dnd", "xa", "away", "chat", "unavailable", "available"]; // Asterisk's own order

/** ranked is every mapped status as the method priority ranks it: those that are listed, then by Asterisk's order. */
export function ranked(rules) {
	const listed = rules.sync.priority.map((id) => find(rules, id)).filter(Boolean);
	const rest = rules.statuses.filter((s) => imageOf(s) && !listed.includes(s));
	rest.sort((a, b) => states.indexOf(imageOf(a).state) - states.indexOf(imageOf(b).state));
	return [...listed, ...rest];
}
