// My status: in the bar, and in the dialog that sets it.
import { call, get, userPath } from "./api.js";
import { feed } from "./feed.js";
import { called, dot, fail, make, paint, tell } from "./show.js";
import { t, told } from "./text.js";

const dialog = document.getElementById("choose");
const form = dialog?.querySelector("form");
const trouble = dialog?.querySelector("[role=alert]");
let whose; // id of the user whose status the dialog sets
let types = []; // that there are

/** offerMine shows the status of user me in the bar, and lets them choose there. */
export function offerMine(me) {
	const button = document.getElementById("mine");
	feed.addEventListener("users", () => {
		const u = feed.users.get(me);
		if (!u) return;
		paint(button.querySelector(".dot"), u.status);
		button.querySelector(".status").textContent = called(u.status);
	});
	button.addEventListener("click", () => choose(me));
}

form?.until.addEventListener("change", showTime);
form?.querySelector(".types").addEventListener("change", showLabel);
form?.querySelector("[value=cancel]").addEventListener("click", () => dialog.close());
form?.addEventListener("submit", (e) => { e.preventDefault(); submit(); });

/** choose opens the dialog for a user's status. */
export async function choose(user) {
	if (user !== whose) form.message.value = form.until.value = form.at.value = ""; // what was typed was for somebody else
	whose = user;
	fail(trouble, null);
	const mine = user === document.documentElement.dataset.user;
	document.getElementById("choose-title").textContent = mine ? t("My status") : t("Status of {name}", { name: feed.users.get(user)?.name ?? user });
	try {
		const { items } = await get("/statuses");
		types = items;
		offer();
		dialog.showModal();
		form.querySelector("[name=type]:checked")?.focus();
		await offerRecent(user);
	} catch (e) {
		fail(trouble, e);
		if (!dialog.open) dialog.showModal();
	}
}

function offer() {
	const now = (feed.users.get(whose)?.under ?? feed.users.get(whose)?.status)?.type;
	const box = form.querySelector(".types");
	box.replaceChildren(box.querySelector("legend"), ...types.map((type) => {
		const label = make("label");
		const radio = make("input");
		Object.assign(radio, { type: "radio", name: "type", value: type.id, checked: type.id === now, required: true });
		label.append(radio, dot(type), type.name);
		return label;
	}));
	form.label.value = "";
	showTime();
	showLabel();
}

const picked = () => form.querySelector("[name=type]:checked")?.value;

/** showLabel asks for a name of the user's own where the type takes one. */
function showLabel() {
	form.label.parentElement.hidden = !types.find((x) => x.id === picked())?.labels;
}

/** offerRecent offers what the user chose of late; nothing where that cannot be read. */
async function offerRecent(user) {
	const box = form.querySelector(".recent");
	box.hidden = true;
	const { items } = await get(userPath(user, "/history?limit=50")).catch(() => ({ items: [] }));
	if (user !== whose) return;
	const seen = new Map();
	for (const h of items) {
		const type = types.find((x) => x.id === h.type);
		const chosen = !/^(extension|expiry|reload)/.test(h.by); // by a person, not by a phone or by itself
		if (type && chosen && (h.message || h.label) && seen.size < 6) seen.set([h.type, h.label, h.message].join("\n"), { type, label: h.label ?? "", message: h.message });
	}
	box.querySelector("ul").replaceChildren(...[...seen.values()].map(({ type, label, message }) => {
		const button = make("button");
		button.type = "button";
		button.append(dot(type), make("span", "", [label || type.name, message].filter(Boolean).join(": ")));
		button.addEventListener("click", () => {
			form.querySelector(`[name=type][value="${CSS.escape(type.id)}"]`).checked = true;
			form.message.value = message;
			form.label.value = label;
			showLabel();
			form.message.focus();
		});
		const li = make("li");
		li.append(button);
		return li;
	}));
	box.hidden = seen.size === 0;
}

function showTime() {
	form.at.hidden = form.until.value !== "at";
	if (!form.at.hidden && !form.at.value) {
		const d = new Date(Date.now() + 3600_000);
		d.setMinutes(Math.ceil(d.getMinutes() / 15) * 15 - d.getTimezoneOffset(), 0, 0);
		form.at.value = d.toISOString().slice(0, 16);
	}
}

/** until is the return time as the API takes it. */
function until() {
	const wish = form.until.value;
	if (wish === "") return null;
	if (wish === "never") return wish;
	if (wish === "at") return new Date(form.at.value).toISOString();
	return new Date(Date.now() + wish * 60_000).toISOString();
}

/** missing tells what is not filled in, and leads there; false: nothing. */
function missing() {
	const [what, where] = !picked() ? [t("Choose a status first."), form.querySelector("[name=type]")]
		: form.until.value === "at" && !form.at.value ? [t("Write the day and the time until when it lasts, or choose another end."), form.at] : [];
	if (!what) return false;
	fail(trouble, new Error(what));
	where?.focus();
	return true;
}

async function submit() {
	if (missing()) return;
	const type = picked();
	const button = form.querySelector("[type=submit]");
	button.disabled = true;
	try {
		const { value } = await call("PUT", userPath(whose, "/status"), { type, message: form.message.value, until: until(), ...(form.label.parentElement.hidden ? {} : { label: form.label.value }) });
		form.message.value = form.until.value = "";
		dialog.close();
		if (value.told) tell(value.told.map((m) => told(m.text, m)).join(" "));
	} catch (e) { // what was typed stays
		fail(trouble, e);
		trouble.scrollIntoView({ block: "nearest" });
	} finally {
		button.disabled = false;
	}
}
