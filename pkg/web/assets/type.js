// The dialog in which a status type is edited.
import { imageOf } from "./rules.js";
import { fail, put } from "./show.js";
import { t } from "./text.js";

const dialog = document.getElementById("edit");
const form = dialog.querySelector("form");
const trouble = dialog.querySelector("[role=alert]");

/** editType returns the type as it was edited, undefined if it was not. taken are the ids of others. */
export function editType(type, { fresh, taken }) {
	put(document.getElementById("h-edit"), fresh ? t("New status type") : type.name);
	const image = imageOf(type);
	form.name.value = type.name;
	form.id.value = type.id;
	form.base.value = type.base;
	form.color.value = type.color;
	form.state.value = image?.state ?? "";
	form.subtype.value = image?.subtype ?? "";
	form.lasts.value = type.lasts ?? "";
	form.tags.value = type.tags.join(", ");
	form.queue_pause.checked = type.queue_pause;
	form.labels.checked = type.labels;
	form.id.readOnly = form.base.disabled = Boolean(type.system);
	form.querySelector(".system").hidden = !type.system;
	fail(trouble, null);
	for (const e of form.elements) e.removeAttribute("aria-invalid");
	let named = !fresh; // the id follows the name until it is typed
	form.id.oninput = () => { named = true; };
	form.name.oninput = () => { if (!named) form.id.value = idOf(form.name.value); };
	if (fresh && type.name) form.id.value = idOf(type.name);

	const { promise, resolve } = Promise.withResolvers();
	form.onsubmit = (e) => {
		e.preventDefault();
		const wrong = check(taken);
		if (wrong) return;
		resolve(read(type));
		dialog.close();
	};
	dialog.oncancel = () => resolve(undefined);
	form.querySelector("[value=cancel]").onclick = () => { resolve(undefined); dialog.close(); };
	dialog.showModal();
	form.name.focus();
	return promise;
}

const idOf = (name) => name.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "");

/** check tells what is missing; the bridge checks the rest. */
function check(taken) {
	const wrong = !form.name.value.trim() ? ["name", t("Write a name.")]
		: !form.id.value.trim() ? ["id", t("Write an id.")]
		: taken.has(form.id.value.trim()) ? ["id", t("There is a status type of this id already.")]
		: form.subtype.value && !form.state.value ? ["state", t("A subtype needs a state.")] : null;
	for (const e of form.elements) e.removeAttribute("aria-invalid");
	fail(trouble, wrong && new Error(wrong[1]));
	if (wrong) {
		form[wrong[0]].setAttribute("aria-invalid", "true");
		form[wrong[0]].focus();
	}
	return wrong;
}

/** read is the type with what was typed; keys that this page does not know stay. */
function read(type) {
	const value = { ...type, id: form.id.value.trim(), name: form.name.value.trim(), base: form.base.value, color: form.color.value };
	const state = form.state.value, subtype = form.subtype.value.trim();
	value.asterisk = !state ? null : subtype ? { state, subtype } : { state };
	const tags = form.tags.value.split(",").map((x) => x.trim()).filter(Boolean);
	return { ...value, lasts: form.lasts.value.trim() || null, tags, labels: form.labels.checked, queue_pause: form.queue_pause.checked };
}
