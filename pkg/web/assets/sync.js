// The page Status sync: the rules of the mapping, edited, previewed, saved, undone.
import { call, faultText } from "./api.js";
import { open } from "./page.js";
import { Draft, imageOf, ranked } from "./rules.js";
import { button, dot, fail, make, put, refill } from "./show.js";
import { sortable } from "./sortable.js";
import { baseName, byName, count, t, when } from "./text.js";
import { editType } from "./type.js";

const $ = (id) => document.getElementById(id);
const form = $("sync");
const settings = ["incoming", "outgoing", "repeats"];
const typed = { stale_after: "0", until_text: "" }; // what is meant where nothing stands
const rights = $("types").dataset.rights.split(" "); // to status types
let draft;

const priority = sortable($("priority"), {
	moved: (ids) => { draft.want.sync.priority = ids; showPending(); },
	say: (text) => put($("moved"), text),
});

async function load() {
	const { value, tag } = await call("GET", "/mapping/rules");
	let both = [];
	if (draft) both = draft.rebase(value, tag);
	else draft = new Draft(value, tag);
	show();
	return both;
}

/** reloaded is what to tell after somebody else was faster: what was changed here is kept. */
async function reloaded() {
	const both = await load();
	const text = t("The file was changed meanwhile. It was loaded anew, with your changes on top; look, then save again.");
	return new Error(both.length ? text + "\n" + t("Both of you have changed: {names}", { names: both.join(", ") }) : text);
}

function show() {
	const { sync } = draft.want;
	form.enabled.checked = sync.enabled;
	for (const name of settings) form[name].value = sync[name];
	for (const [name, nothing] of Object.entries(typed)) form[name].value = sync[name] === nothing ? "" : sync[name];
	blame([]);
	showPriority();
	showTypes();
	showPending();
	$("undo").hidden = !draft.base.undo;
	$("warnings").replaceChildren(...draft.base.warnings.map((w) => make("li", "", faultText(w))));
	form.removeAttribute("aria-busy");
}

function showPriority() {
	priority.show(ranked(draft.want).map((s) => ({ id: s.id, name: s.name, mark: dot(s) })));
	$("unused").hidden = draft.want.sync.incoming === "priority";
}

function showTypes() {
	const tags = [...new Set(draft.want.statuses.flatMap((s) => s.tags))].sort();
	const chosen = form.tag.value;
	form.tag.length = 1;
	for (const tag of tags) form.tag.add(new Option(tag));
	form.tag.value = chosen;
	form.tag.parentElement.hidden = tags.length === 0;
	refill($("types").tBodies[0], draft.want.statuses.filter(matches).map(typeRow));
}

function matches(s) {
	const words = form.find.value.toLowerCase();
	const text = [s.id, s.name, ...s.tags].join("\n").toLowerCase();
	return text.includes(words) && (!form.tag.value || s.tags.includes(form.tag.value));
}

function typeRow(s) {
	const tr = make("tr"), name = make("th"), image = imageOf(s);
	name.scope = "row";
	name.append(dot(s), " ", s.name, make("span", "hint", s.id));
	if (s.system) name.append(make("span", "badge", t("protected")));
	const actions = make("td", "row-actions"), act = (text, does, disabled) => button(text, text + ": " + s.name, does, disabled);
	actions.append(
		act(t("Edit"), () => edit(s), !rights.includes("modify")),
		act(t("Duplicate"), () => edit({ ...s, id: "", name: t("{name} (copy)", { name: s.name }), system: false }, true), !rights.includes("create")),
		act(t("Delete"), () => remove(s), s.system || !rights.includes("delete")),
		act(t("History"), () => past(s)),
	);
	tr.append(name, make("td", "", baseName(s.base)), make("td", "", image ? image.state + (image.subtype ? ", " + image.subtype : "") : t("not synchronised")), make("td", "", s.tags.join(", ")), actions);
	return tr;
}

async function edit(type, fresh = false) {
	const taken = new Set(draft.want.statuses.map((s) => s.id));
	if (!fresh) taken.delete(type.id);
	const edited = await editType(type, { fresh, taken });
	if (!edited) return;
	const list = draft.want.statuses, at = list.findIndex((s) => s.id === type.id);
	if (fresh) list.push(edited);
	else list[at] = edited;
	if (!fresh && edited.id !== type.id) {
		draft.want.sync.priority = draft.want.sync.priority.map((id) => (id === type.id ? edited.id : id));
	}
	show();
}

function remove(type) {
	draft.want.statuses = draft.want.statuses.filter((s) => s.id !== type.id);
	draft.want.sync.priority = draft.want.sync.priority.filter((id) => id !== type.id);
	show();
	$("new").focus();
}

async function past(type) {
	const dialog = $("past");
	put(dialog.querySelector("h2"), t("History: {name}", { name: type.name }));
	const list = dialog.querySelector("ul");
	try {
		const { value } = await call("GET", "/mapping/statuses/" + encodeURIComponent(type.id) + "/history");
		list.replaceChildren(...value.items.map((a) => make("li", "", `${when(a.at)} – ${byName(a.by)}: ${t(a.did)}${a.what ? " (" + a.what + ")" : ""}`)));
		if (!value.items.length) list.replaceChildren(make("li", "", t("Nothing yet.")));
	} catch (e) {
		list.replaceChildren(make("li", "", e.message));
	}
	dialog.showModal();
}

function showPending() {
	const n = draft.changes;
	$("pending").hidden = n === 0;
	put($("pending").querySelector("p"), n ? count(n, "{n} change is not saved", "{n} changes are not saved") : "");
}

/** blame marks the fields that faults speak of. */
function blame(faults) {
	for (const name of Object.keys(typed)) form[name].setAttribute("aria-invalid", faults.some((f) => f.field === "sync." + name));
}

/** busy keeps buttons from being pressed twice, and tells what went wrong. */
async function busy(button, act) {
	button.disabled = true;
	fail($("trouble"), null);
	$("done").hidden = true;
	try {
		await act();
	} catch (e) {
		fail($("trouble"), e);
		blame(e.faults ?? []);
		$("trouble").scrollIntoView({ block: "center" });
	} finally {
		button.disabled = false;
	}
}

/** done tells that it is, at the top of the page: the button of it may be gone, and the focus with it. */
function done(text) {
	$("done").hidden = false;
	put($("done"), text);
	$("done").focus();
}

async function preview() {
	const { value } = await call("POST", "/mapping/preview", draft.proposal);
	const dialog = $("previewed");
	put(dialog.querySelector("p"), value.total ? count(value.total, "The status of {n} person would change.", "The status of {n} people would change.") : t("Nobody’s status would change."));
	dialog.querySelector("ul").replaceChildren(...value.items.map((c) => {
		const li = make("li");
		li.append(make("b", "", c.name), ": ", statusText(c.before), " → ", statusText(c.after), c.why ? make("span", "hint", t(c.why)) : "");
		return li;
	}), ...(value.total > value.items.length ? [make("li", "", t("… and {n} more", { n: value.total - value.items.length }))] : []));
	dialog.showModal();
}

const statusText = (s) => (s ? s.name : t("no status"));

async function save() {
	try {
		const { value, tag } = await call("PUT", "/mapping/rules", draft.proposal, { "If-Match": draft.tag });
		draft = new Draft(value, tag);
	} catch (e) {
		throw e.status === 412 ? await reloaded() : e; // what was changed here is kept
	}
	show();
	done(t("Saved, and in force."));
}

form.addEventListener("change", ({ target: { name, value, checked } }) => {
	if (name === "enabled") draft.want.sync.enabled = checked;
	else if (settings.includes(name)) draft.want.sync[name] = value;
	$("unused").hidden = draft.want.sync.incoming === "priority";
	showPending();
});
form.addEventListener("input", ({ target: { name, value } }) => {
	if (name === "find" || name === "tag") showTypes();
	if (name in typed && draft) {
		draft.want.sync[name] = value.trim() || typed[name];
		showPending();
	}
});
form.addEventListener("submit", (e) => e.preventDefault());
$("new").addEventListener("click", () => edit({ id: "", name: "", base: "absent", color: "#757575", asterisk: null, lasts: null, labels: false, queue_pause: false, tags: [], system: false }, true));
$("preview").addEventListener("click", ({ target }) => busy(target, preview));
$("save").addEventListener("click", ({ target }) => busy(target, save));
$("discard").addEventListener("click", () => { draft = new Draft(draft.base, draft.tag); show(); });
$("undo").addEventListener("click", ({ target }) => busy(target, async () => {
	try {
		await call("POST", "/mapping/undo", undefined, { "If-Match": draft.tag });
	} catch (e) {
		throw e.status === 412 ? await reloaded() : e;
	}
	await load(); // what is not saved is kept
	done(t("What was before is in force again. The same button takes that back."));
}));
addEventListener("beforeunload", (e) => { if (draft?.changes) e.preventDefault(); });

load().catch((e) => fail($("trouble"), e));
open();
