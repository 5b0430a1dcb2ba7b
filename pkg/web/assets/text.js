// Texts and times in the reader's language. English texts are the keys of the messages.
const root = document.documentElement;
export const lang = root.lang;
/** locale is how times and numbers are written: as the browser's user does it in that language. */
const locale = navigator.languages.find((l) => l.split("-")[0] === lang) ?? lang;
const at = root.dataset.messages;
const messages = at ? await fetch(at).then((answer) => answer.json()).catch(() => ({})) : {}; // English is better than nothing

const fill = (text, values = {}) => text.replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);

/** t is an English text in the reader's language, with {name} filled in. */
export const t = (english, values) => fill(messages[english] ?? english, values);

/** told is a sentence of the bridge in the reader's language, by its code; as it came where that has no translation. */
export const told = (english, { code, params } = {}) => (messages[code] ? fill(messages[code], params) : english);

/** toldAll are sentences of the bridge that belong together. One that leads the next stands before a colon. */
export function toldAll(list) {
	return list.reduce((before, m, i) => {
		const after = told(m.text, m);
		if (i === 0) return after;
		return list[i - 1].leads ? t("{before}: {after}", { before, after }) : t("{before}; {after}", { before, after });
	}, "");
}

const plurals = new Intl.PluralRules(locale);

const numbers = new Intl.NumberFormat(locale);

/** number is a number as one reads it. */
export const number = (n) => numbers.format(n);

/** count is one of two texts, by the number that {n} stands for. */
export const count = (n, one, other) => t(plurals.select(n) === "one" ? one : other, { n: number(n) });

const relative = new Intl.RelativeTimeFormat(locale, { style: "short", numeric: "auto" });
const clock = new Intl.DateTimeFormat(locale, { timeStyle: "short" });
const day = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" });
const exact = new Intl.DateTimeFormat(locale, { dateStyle: "full", timeStyle: "medium" });

/** ago is how long something is over, in one unit. What is to come by the reader's clock is now. */
export function ago(time) {
	const s = Math.max(0, (Date.now() - new Date(time)) / 1000);
	if (s < 45) return t("just now");
	if (s < 3570) return relative.format(-Math.round(s / 60), "minute");
	if (s < 84600) return relative.format(-Math.round(s / 3600), "hour");
	return relative.format(-Math.round(s / 86400), "day");
}

/** when is a time of day, with the date where that is not today. */
export function when(time) {
	const d = new Date(time);
	return (d.toDateString() === new Date().toDateString() ? clock : day).format(d);
}

/** full is a time to the second, for who wants to know exactly. */
export const full = (time) => exact.format(new Date(time));

const bases = { connected: "connected", absent: "absent", busy: "busy", in_call: "in a call", offline: "offline" };
const phones = { idle: "", none: "", ringing: "ringing", in_call: "in a call", on_hold: "on hold", offline: "phone offline", unknown: "" };

/** baseName and phoneName are words of the bridge for people; "" where there is nothing to say. */
export const baseName = (base) => t(bases[base] ?? base);
export const phoneName = (state) => (phones[state] ? t(phones[state]) : phones[state] ?? t(state));

/** byName tells who set a status: "extension main/1001", "panel alice", "expiry" ... */
export function byName(by) {
	const [kind, ...rest] = by.split(" ");
	const who = rest.join(" ");
	switch (kind) {
	case "extension": return t("phone {who}", { who });
	case "panel": return t("{who} in the panel", { who });
	case "api": return t("the program {who}", { who });
	case "integration": return t("the connector {who}", { who });
	case "cli": return rest[0] === "of" ? t("the command line of {who}", { who: rest.slice(1).join(" ") }) : t("the command line");
	case "local": return t("the local program {who}", { who: rest.slice(2).join(" ") }); // "local program as ..."
	case "expiry": return t("its return time");
	case "reload": return t("a new mapping");
	}
	return by;
}
