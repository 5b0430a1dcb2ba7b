// The board: everybody, live. A row is made once and then changed where it has to be, so
// that 10,000 of them stay quick; the browser lays out only those that are in sight.
import { get } from "./api.js";
import { feed, open } from "./page.js";
import { follow, prefer } from "./preferences.js";
import { called, paint, put, tell } from "./show.js";
import { ago, count, full, number, phoneName, t, when } from "./text.js";

const list = document.getElementById("people");
const form = document.getElementById("filter");
const template = document.getElementById("person").content.firstElementChild;
const atOnce = 500; // rows that are made before the browser may draw
const rows = new Map(); // by id: {li, parts, user, text}
const mostStars = 200;
let stars = new Set();
let order = []; // ids, as they are shown

function makeRow(user) {
	const li = template.cloneNode(true);
	const parts = {};
	for (const e of li.children) parts[e.classList[0]] = e;
	parts.star.setAttribute("aria-label", t("Favourite: {name}", { name: user.name }));
	parts.star.setAttribute("aria-pressed", stars.has(user.id));
	parts.star.addEventListener("click", () => star(user.id));
	parts.name.href = "/users/" + encodeURIComponent(user.id);
	return { li, parts };
}

/** fill shows a user in a row. */
function fill(row, user) {
	const { parts, li } = row, s = user.status;
	const before = row.user?.status;
	row.user = user;
	row.text = [user.id, user.name, s?.name, s?.label, s?.message, ...user.extensions.map((x) => x.extension)].join("\n").toLowerCase();
	paint(parts.dot, s);
	put(parts.name, user.name);
	put(parts.status, s ? called(s) : "–");
	parts.status.title = s?.label ? s.name : "";
	put(parts.message, s?.message ?? "");
	parts.message.title = s?.message ?? "";
	age(row);
	put(parts.phone, phoneName(user.phone));
	const away = user.extensions.filter((x) => !x.reachable).length;
	put(parts.reach, away === 0 ? "" : away === user.extensions.length ? t("unreachable") : t("partly unreachable"));
	parts.reach.title = away ? t("A PBX of this user cannot be reached; the status is what was last known.") : "";
	li.classList.toggle("unsaved", !user.saved);
	if (before && s && (before.type !== s.type || before.message !== s.message || before.label !== s.label)) {
		li.classList.remove("changed");
		requestAnimationFrame(() => li.classList.add("changed"));
	}
}

function age({ parts, user }) {
	const s = user.status;
	put(parts.when, !s ? "" : s.until ? t("{ago}, until {time}", { ago: ago(s.since), time: when(s.until) }) : ago(s.since));
	parts.when.title = s ? t("since {time}", { time: full(s.since) }) : "";
}

const compare = new Intl.Collator(document.documentElement.lang, { numeric: true }).compare;

/** arrange puts favourites first, then goes by name. */
function arrange() {
	order = [...rows.keys()].sort((a, b) => stars.has(b) - stars.has(a) || compare(rows.get(a).user.name, rows.get(b).user.name));
	let at = 0;
	const some = () => {
		const until = Math.min(at + atOnce, order.length);
		for (; at < until; at++) {
			const li = rows.get(order[at]).li;
			if (list.children[at] !== li) list.insertBefore(li, list.children[at] ?? null);
		}
		if (at < order.length) requestAnimationFrame(some);
		else list.removeAttribute("aria-busy");
	};
	some();
}

/** select shows those who match the form. */
function select() {
	const want = Object.fromEntries(new FormData(form));
	const words = want.q.toLowerCase().split(/\s+/).filter(Boolean);
	let n = 0;
	for (const row of rows.values()) {
		const u = row.user;
		const yes = words.every((w) => row.text.includes(w)) &&
			(!want.status || (u.status?.type ?? "") === want.status) &&
			(!want.group || u.groups?.includes(want.group)) && (!want.tag || u.tags?.includes(want.tag));
		if (row.li.hidden === yes) row.li.hidden = !yes;
		n += yes;
	}
	put(document.getElementById("count"), n === rows.size ? count(n, "{n} person", "{n} people") : t("{n} of {all}", { n: number(n), all: number(rows.size) }));
	document.getElementById("empty").hidden = n > 0 || rows.size === 0;
}

/** offer fills a choice of the form, and keeps what was chosen. */
function offer(select, values) {
	const chosen = select.value;
	select.length = 1;
	for (const [value, text] of values) select.add(new Option(text, value));
	select.value = chosen;
	select.parentElement.hidden = values.length === 0;
}

function offerWords(field) {
	const words = new Set();
	for (const { user } of rows.values()) for (const w of user[field + "s"] ?? []) words.add(w);
	offer(form[field], [...words].sort(compare).map((w) => [w, w]));
}

async function star(id) {
	const is = stars.has(id);
	if (!is && stars.size >= mostStars) return tell(t("There is room for {n} favourites.", { n: mostStars }));
	await prefer({ [is ? "remove" : "add"]: { stars: [id] } }).catch((e) => tell(e.message));
}

function showStars(kept) {
	const focused = document.activeElement;
	stars = new Set(kept.stars ?? []);
	for (const [id, { parts }] of rows) parts.star.setAttribute("aria-pressed", stars.has(id));
	if (rows.size) arrange();
	if (focused?.classList.contains("star")) focused.focus();
}

/** offerTypes offers the status types, which a new mapping may have changed. */
const offerTypes = () => get("/statuses").then(({ items }) => offer(form.status, items.map((s) => [s.id, s.name]))).catch((e) => tell(e.message));

feed.addEventListener("users", ({ detail: { changed, gone, all } }) => {
	if (!feed.ready && rows.size === 0) return; // everybody is coming
	let fresh = all || gone.length > 0;
	for (const user of all ? feed.users.values() : changed) {
		let row = rows.get(user.id);
		if (!row) {
			rows.set(user.id, (row = makeRow(user)));
			fresh = true;
		}
		fresh ||= row.user.name !== user.name;
		fill(row, user);
	}
	for (const id of gone) {
		rows.get(id)?.li.remove();
		rows.delete(id);
	}
	if (all) offerTypes();
	if (fresh) {
		offerWords("group");
		offerWords("tag");
		arrange();
	}
	select();
});

form.addEventListener("input", select);
form.addEventListener("submit", (e) => e.preventDefault());
setInterval(() => rows.forEach(age), 30_000);

follow(showStars).catch((e) => tell(e.message));
open();
