// Why is somebody's status what it is?
import { get, userPath } from "./api.js";
import { choose } from "./choose.js";
import { feed, me, open } from "./page.js";
import { showHistory } from "./history.js";
import { clock, dot, facts, fail, make, paint, presenceText, put, time } from "./show.js";
import { byName, full, phoneName, t, when } from "./text.js";

const page = document.getElementById("why");
const id = page.dataset.id;
const $ = (selector) => page.querySelector(selector);

const number = ({ pbx, extension }) => pbx + "/" + extension;

function showNow(e, user) {
	put($("h1"), user.name);
	$("#change").hidden = id !== me && !("others" in document.documentElement.dataset);
	document.title = `${user.name} – Presence Bridge`;
	const s = e.status;
	paint($(".now .dot"), s && s.type);
	put($(".now .status"), s ? s.label || s.type.name : t("no status"));
	put($(".now .message"), s?.message ?? "");
	const list = facts(s);
	if (s?.removed) list.push(t("the mapping no longer has that status"));
	if (s?.stale) list.push(t("none of the extensions can be reached"));
	put($(".facts"), list.join(" · "));
}

/** verdict is who decides, in a sentence. */
function verdict(e) {
	const winner = e.extensions.find((x) => x.won);
	if (winner) return t("{extension} decides, by the method “{method}”: {rule}.", { extension: number(winner.extension), method: t(e.incoming), rule: t(e.rule) });
	return t("No extension decides, by the method “{method}”: {rule}.", { method: t(e.incoming), rule: t(e.rule) });
}

function also(e) {
	const list = [];
	const p = e.phone;
	if (p.shows) {
		list.push(t("The phones are {state}, and that shows over {status} until it is over.", { state: phoneName(p.state) || t("idle"), status: e.under ? e.under.type.name : t("no status") }));
	} else if (p.state !== "unknown" && p.state !== "idle" && p.rule) {
		list.push(t("The phones are {state}, which does not show: {rule}.", { state: phoneName(p.state), rule: t(p.rule) }));
	}
	if (e.later) list.push(t("The phone changes faster than a person; what is true then shows at {time}.", { time: when(e.later.at) }));
	if (e.pauses) list.push(t("{status} pauses the members of queues that they are.", { status: e.pauses.name }));
	if (!e.sync) list.push(t("Synchronisation is off for this user: phones are neither listened to nor written."));
	else list.push(e.outgoing === "all" ? t("A status chosen in the panel is written to all extensions.") : t("A status chosen in the panel is written to the default extension."));
	return list.map((text) => make("li", "", text));
}

function cell(...content) {
	const td = make("td");
	td.append(...content);
	return td;
}

function row(x) {
	const tr = make("tr", x.won ? "won" : "");
	const th = make("th", "", number(x.extension));
	th.scope = "row";
	if (x.default) th.append(make("span", "hint", t("default extension")));
	if (!x.reachable) th.append(make("span", "badge bad", t("unreachable")));
	const shows = cell(presenceText(x.shows));
	if (x.shows?.message) shows.append(make("span", "hint", x.shows.message));
	if (x.wish) shows.append(make("span", "badge warn", x.wish.sent ? t("written, not confirmed yet") : t("waits to be written")), make("span", "hint", presenceText(x.wish.presence)), time(x.wish.since));
	if (phoneName(x.phone)) shows.append(make("span", "badge", phoneName(x.phone)));
	const said = cell();
	if (x.type) said.append(dot(x.type), " " + x.type.name);
	else said.append("–");
	if (x.message) said.append(make("span", "hint", x.message));
	const since = cell();
	if (x.since) since.append(clock(x.since), make("span", "hint", ""));
	if (x.since) since.lastChild.append(time(x.since));
	tr.append(th, shows, said, since, cell(x.by ? byName(x.by) : ""), cell());
	const verdict = tr.lastChild;
	verdict.className = "rule";
	verdict.append(make("span", "badge " + (x.won ? "good" : ""), x.won ? t("wins") : t("loses")), make("span", "hint", t(x.rule)));
	if (x.heard?.at) verdict.append(make("span", "hint", t("last heard {time}: {what}", { time: when(x.heard.at), what: t(x.heard.as ?? "") })));
	return tr;
}

/** draw puts what extensions said on one line of time, the oldest at the left. */
function draw(extensions) {
	const said = extensions.filter((x) => x.type && x.since);
	const box = page.querySelector(".clock");
	box.hidden = said.length < 2;
	if (box.hidden) return;
	const now = Date.now(), oldest = Math.min(...said.map((x) => new Date(x.since)));
	// By the logarithm of the age: minutes matter as much as days.
	const place = (at) => 1 - Math.log1p((now - new Date(at)) / 1000) / Math.log1p(Math.max(1, (now - oldest) / 1000));
	box.querySelector("ol").replaceChildren(...said.sort((a, b) => new Date(b.since) - new Date(a.since)).map((x) => {
		const li = make("li", x.won ? "won" : "");
		const track = make("span", "track"), bar = make("span", "bar-of");
		bar.style.setProperty("--from", Math.max(0, Math.min(0.98, place(x.since))) * 100 + "%");
		bar.style.setProperty("--status", x.type.color);
		track.append(bar);
		track.title = full(x.since);
		const what = make("span");
		what.append(number(x.extension), make("span", "hint", x.type.name + ", "));
		what.lastChild.append(time(x.since));
		li.append(what, track);
		return li;
	}));
}

let asked = 0;

async function show() {
	const mine = ++asked;
	try {
		const [e, user] = await Promise.all([get(userPath(id, "/explain")), get(userPath(id))]);
		if (mine !== asked) return; // a newer answer is on its way
		fail($("[role=alert]"), null);
		showNow(e, user);
		put($(".verdict"), verdict(e));
		$(".also").replaceChildren(...also(e));
		$("tbody").replaceChildren(...e.extensions.map(row));
		draw(e.extensions);
		page.removeAttribute("aria-busy");
	} catch (e) {
		fail($("[role=alert]"), e);
	}
}

$("#change").addEventListener("click", () => choose(id));
const history = showHistory(id, $(".history"), document.getElementById("older"));
feed.addEventListener("users", ({ detail: { changed, all } }) => {
	if (!all && !changed.some((u) => u.id === id)) return;
	show();
	history.refresh();
});
setInterval(show, 60_000);
show();
open();
