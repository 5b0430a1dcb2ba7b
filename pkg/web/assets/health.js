// The condition of the bridge: PBXs, store, figures, and what is wanted but not shown.
import { get } from "./api.js";
import { open } from "./page.js";
import { fail, make, presenceText, put, refill, time } from "./show.js";
import { count, t, toldAll } from "./text.js";

const every = 5000; // ms
const $ = (id) => document.getElementById(id);

function row(head, ...cells) {
	const tr = make("tr"), th = make("th");
	th.scope = "row";
	th.append(head);
	tr.append(th, ...cells.map((content) => {
		const td = make("td");
		td.append(content ?? "");
		return td;
	}));
	return tr;
}

const ofPBX = (name, what) => t("{before}: {after}", { before: "PBX " + name, after: what });

function condition(p) {
	const box = make("span");
	box.append(p.ready ? make("span", "badge good", t("ready")) : make("span", "badge bad", p.connected ? t("not ready") : t("not connected")));
	if (p.reason) box.append(make("span", "hint", p.told ? toldAll(p.told) : p.reason));
	return box;
}

const pbxRow = (p) => row(p.pbx, condition(p), [p.transport.toUpperCase(), p.version && "Asterisk " + p.version].filter(Boolean).join(", "), String(p.extensions), String(p.pending), String(p.reconnects), String(p.malformed));

/** seconds is a length of time as one reads it; "–" where nothing was measured. */
function seconds(s) {
	if (!s) return "–";
	if (s < 1) return `${(s * 1000).toPrecision(2)} ms`;
	return s < 120 ? `${s.toPrecision(2)} s` : `${Math.round(s / 60)} min`;
}

const span = (x) => t("{half} as a rule, {most} at worst", { half: seconds(x?.p50), most: seconds(x?.p99) });

function figures(h) {
	const list = [
		[t("Store"), h.store.error ? t(h.store.error) : h.store.driver],
		[t("A commit takes"), span(h.store.latency)],
		[t("From an event to its decision"), span(h.lag.decided)],
		[t("From a decision to the disk"), span(h.lag.committed)],
		[t("Echoes of our own writes suppressed"), String(h.echoes)],
		[t("Changes that phones made too fast to show"), String(h.held_back)],
		[t("Pages and programs that follow live"), String(h.streams)],
		[t("Reloads of the mapping"), t("{done} done, {refused} refused", { done: h.reloads.done, refused: h.reloads.refused })],
	];
	return list.flatMap(([name, value]) => [make("dt", "", name), make("dd", "", value)]);
}

function driftRow(d) {
	const a = make("a", "", d.user);
	a.href = "/users/" + encodeURIComponent(d.user);
	return row(a, d.pbx + "/" + d.extension, presenceText(d.presence), time(d.since), d.refusals ? String(d.refusals) : "");
}

function show(h) {
	put($("ready"), h.ready ? t("Everything is in agreement.") : t("The bridge is not ready."));
	$("reasons").replaceChildren(...(h.told ?? []).map((r) => make("li", "", r.pbx ? ofPBX(r.pbx, toldAll(r.parts)) : toldAll(r.parts))));
	$("pbxs").tBodies[0].replaceChildren(...h.pbxs.map(pbxRow));
	$("figures").replaceChildren(...figures(h));
	const { count: n, items } = h.drift; // at most a hundred of them
	put($("drift"), n ? count(n, "{n} extension does not show what it shall.", "{n} extensions do not show what they shall.") : t("Every extension shows what it shall."));
	$("drifted").hidden = n === 0;
	refill($("drifted").tBodies[0], items.map(driftRow));
}

async function refresh() {
	if (!document.hidden) {
		try {
			show(await get("/health"));
			fail($("trouble"), null);
		} catch (e) {
			fail($("trouble"), e); // what is shown is of before
		}
	}
	setTimeout(refresh, every);
}

refresh();
open();
