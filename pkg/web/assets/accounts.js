// Who may sign in to the panel, and as what.
import { call, get } from "./api.js";
import { copy } from "./copy.js";
import { feed, open } from "./page.js";
import { button, fail, make, put, refill, time } from "./show.js";
import { sure } from "./sure.js";
import { t, when } from "./text.js";

const $ = (id) => document.getElementById(id);
const path = (name, rest = "") => "/accounts/" + encodeURIComponent(name) + rest;

const act = (text, name, does) => button(text, text + ": " + name, () => does().catch((e) => fail($("trouble"), e)));

function cells(...contents) {
	return contents.map((content) => {
		const td = make("td");
		td.append(...[content].flat());
		return td;
	});
}

function accountRow(a) {
	const tr = make("tr"), th = make("th", "", a.name);
	th.scope = "row";
	if (a.title) th.append(make("span", "hint", a.title));
	if (a.provider) th.append(make("span", "badge", a.provider));
	if (a.disabled) th.append(make("span", "badge bad", t("disabled")));
	const rights = a.role === "administrator" ? t("all") : a.rights.map((r) => t(r)).join(", ");
	tr.append(th, ...cells(a.user ?? "–", t(a.role), rights, a.signed_in ? time(a.signed_in) : t("never"), [
		act(t("Edit"), a.name, () => change(a)),
		...(a.provider ? [] : [act(t("New password"), a.name, () => reset(a))]),
		...(a.sessions ? [act(t("Sign out everywhere"), a.name, () => signOut(a))] : []),
		act(t("Delete"), a.name, () => remove(a)),
	]));
	tr.lastChild.className = "row-actions";
	return tr;
}

function invitationLine(i) {
	const li = make("li");
	li.append(t("{name} as {role}, until {time}", { name: i.name ?? t("somebody"), role: t(i.role), time: when(i.expires) }), " ",
		act(t("Withdraw"), i.name ?? "", async () => { await call("DELETE", "/invitations/" + encodeURIComponent(i.id)); await load(); }));
	return li;
}

async function load() {
	const [accounts, invitations] = await Promise.all([get("/accounts"), get("/invitations")]);
	refill($("accounts").tBodies[0], accounts.items.map(accountRow));
	refill($("invitations"), invitations.items.map(invitationLine));
	fail($("trouble"), null);
}

function showLink({ url }) {
	const dialog = $("link"), input = dialog.querySelector("input");
	input.value = url;
	dialog.showModal();
	input.select();
	const status = dialog.querySelector("[role=status]");
	put(status, "");
	dialog.querySelector(".copy").onclick = () => copy(input, status, t("Link"));
}

async function reset(a) {
	if (!(await sure(t("The password of {name} is taken away, and they are signed out everywhere.", { name: a.name })))) return;
	const { value } = await call("POST", path(a.name, "/reset"));
	showLink(value);
	await load();
}

async function signOut(a) {
	if (!(await sure(t("{name} is signed out in every browser.", { name: a.name })))) return;
	await call("POST", path(a.name, "/sign-out"));
	await load();
}

async function remove(a) {
	if (!(await sure(t("The account {name} is deleted.", { name: a.name })))) return;
	await call("DELETE", path(a.name));
	await load();
}

async function change(a) {
	const dialog = $("change"), form = dialog.querySelector("form"), trouble = dialog.querySelector("[role=alert]");
	put($("h-change"), a.name);
	form.user.value = a.user ?? "";
	form.role.value = a.role;
	form.elements.disabled.checked = a.disabled;
	for (const box of form.rights) box.checked = a.rights.includes(box.value);
	fail(trouble, null);
	form.querySelector("[value=cancel]").onclick = () => dialog.close();
	form.onsubmit = async (e) => {
		e.preventDefault();
		try {
			const wish = {
				user: form.user.value.trim() || null, role: form.role.value, disabled: form.elements.disabled.checked,
				rights: [...form.rights].filter((b) => b.checked).map((b) => b.value),
			};
			// Only what differs, for somebody else may have changed the rest meanwhile.
			const changed = Object.entries(wish).filter(([key, value]) => JSON.stringify(value) !== JSON.stringify(a[key]));
			if (changed.length) await call("PATCH", path(a.name), Object.fromEntries(changed));
			dialog.close();
			await load();
		} catch (problem) {
			fail(trouble, problem);
		}
	};
	dialog.showModal();
}

$("invite").addEventListener("submit", async (e) => {
	e.preventDefault();
	const form = e.target;
	try {
		const { value } = await call("POST", "/invitations", { name: form.elements.name.value.trim() || null, user: form.user.value.trim() || null, role: form.role.value, rights: [] });
		form.reset();
		showLink(value);
		await load();
	} catch (problem) {
		fail($("trouble"), problem);
	}
});

feed.addEventListener("users", ({ detail: { all } }) => {
	if (all) $("users").replaceChildren(...[...feed.users.values()].map((u) => new Option(u.name, u.id)));
});
for (const li of $("links").children) {
	const input = li.querySelector("input");
	li.querySelector(".copy").addEventListener("click", () => copy(input, $("copied"), input.labels[0].textContent.trim()));
}
load().catch((e) => fail($("trouble"), e));
open();
