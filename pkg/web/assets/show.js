// Pieces that several pages show.
import { ago, byName, full, t, when } from "./text.js";

/** make is an element with a text. Texts are attackers' texts: never markup. */
export function make(tag, className = "", text = "") {
	const e = document.createElement(tag);
	if (className) e.className = className;
	if (text) e.textContent = text;
	return e;
}

/** button is one whose label says more than its text, such as of whom. */
export function button(text, label, act, disabled = false) {
	const b = make("button", "", text);
	b.type = "button";
	b.disabled = disabled;
	b.setAttribute("aria-label", label);
	b.addEventListener("click", act);
	return b;
}

/** facts tell since when a status is there, by whom, and until when; none without one. */
export function facts(status) {
	if (!status) return [];
	const list = [t("since {time}", { time: full(status.since) }), t("set by {who}", { who: byName(status.by) })];
	if (status.until) list.push(t("until {time}", { time: when(status.until) }));
	return list;
}

/** paint gives a dot the colour and the shape of a status; null: there is none. */
export function paint(dot, status) {
	dot.dataset.base = status?.base ?? "";
	dot.style.setProperty("--status", status?.color ?? "transparent");
}

/** dot is the mark of a status. */
export function dot(status) {
	const e = make("span", "dot");
	paint(e, status);
	return e;
}

/** called is what a status is called: by its user, else by its type; null: there is none. */
export const called = (status) => (status ? status.label || status.name : t("no status"));

/** time is a time, as ago; the exact one is its title. */
export function time(at, text = ago(at)) {
	const e = make("time", "", text);
	e.dateTime = at;
	e.title = full(at);
	return e;
}

/** clock is a time as one reads it off a clock. */
export const clock = (at) => time(at, when(at));

/** put replaces what is in e, and only if that would change something. */
export function put(e, text) {
	if (e.textContent !== text) e.textContent = text;
}

/** fail tells in e why something did not work; "" takes it away. */
export function fail(e, problem) {
	e.hidden = !problem;
	put(e, problem ? [problem.message, ...(problem.errors ?? [])].join("\n") : ""); // the same is not read aloud again
}

/** presenceText is a presence of Asterisk as one reads it. */
export function presenceText(p) {
	if (!p) return t("not known");
	return p.state + (p.subtype ? ", " + p.subtype : "");
}

const operated = "a, button, input";
const known = (e) => e.getAttribute("aria-label") ?? e.getAttribute("href");

/** refill replaces what is in e, and leaves the focus where it was: on what has the same name, else on what has the same place. */
export function refill(e, children) {
	const at = [...e.querySelectorAll(operated)].indexOf(document.activeElement), name = at >= 0 && known(document.activeElement);
	e.replaceChildren(...children);
	if (at < 0) return;
	const now = [...e.querySelectorAll(operated)];
	(now.find((x) => known(x) === name) ?? now[at] ?? now.at(-1))?.focus();
}

/** tell shows what there is to know about what was done, above the page. */
export function tell(text) {
	document.getElementById("notice")?.remove();
	const p = make("p", "note", text);
	p.id = "notice";
	p.role = "status";
	document.getElementById("main").prepend(p);
}
