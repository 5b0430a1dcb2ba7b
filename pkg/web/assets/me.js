// My status: what it is, my extensions, my own settings, my history, this account.
import { call, get, userPath } from "./api.js";
import { choose } from "./choose.js";
import { showHistory } from "./history.js";
import { feed, open } from "./page.js";
import { prefer } from "./preferences.js";
import { called, clock, facts, fail, make, paint, presenceText, put, refill, tell } from "./show.js";
import { t } from "./text.js";

const page = document.getElementById("me");
const account = document.getElementById("account");

account.addEventListener("submit", async (e) => {
	e.preventDefault();
	try {
		await prefer({ set: { language: account.language.value } });
		location.reload();
	} catch (problem) {
		tell(problem.message);
	}
});

if (page) followMe(page.dataset.id);
open();

function followMe(id) {
	const $ = (selector) => page.querySelector(selector);
	const form = document.getElementById("settings");
	const trouble = page.querySelector("[role=alert]");
	let settings; // as the bridge has them

	function showStatus(u) {
		const s = u.status;
		paint($(".now .dot"), s);
		put($(".now .status"), called(s));
		put($(".now .message"), s?.message ?? "");
		const list = facts(s);
		if (u.under) list.push(t("under it: {status}", { status: called(u.under) }));
		put($(".facts"), list.join(" · "));
	}

	function row(x) {
		const tr = make("tr"), radio = make("input"), name = x.pbx + "/" + x.extension;
		Object.assign(radio, { type: "radio", name: "default", value: name, checked: x.default });
		radio.setAttribute("aria-label", t("{extension} is my default extension", { extension: name }));
		const cells = [radio, name, presenceText(x.presence), x.since ? clock(x.since) : ""].map((content, i) => {
			const cell = make(i === 1 ? "th" : "td");
			if (i === 1) cell.scope = "row";
			cell.append(content);
			return cell;
		});
		if (!x.reachable) cells[1].append(" ", make("span", "badge bad", t("unreachable")));
		if (x.pending) cells[2].append(" ", make("span", "badge warn", t("not confirmed yet")));
		if (x.presence?.message) cells[2].append(make("span", "hint", x.presence.message));
		tr.append(...cells);
		return tr;
	}

	function showSettings() {
		form.sync.checked = settings.sync ?? settings.mapping.sync;
		const own = settings.default_extension, mapped = settings.mapping.default_extension;
		put($(".mapping"), own && mapped ? t("The administrator’s choice is {extension}.", { extension: mapped.pbx + "/" + mapped.extension }) : "");
	}

	async function save(change) {
		try {
			settings = (await call("PUT", userPath(id, "/settings"), change)).value; // the rest stays
			fail(trouble, null);
			put($(".done"), t("Saved."));
		} catch (e) {
			fail(trouble, e);
			showUser(feed.users.get(id)); // as it is in force
		}
		showSettings();
	}

	function showUser(u) {
		if (!u) return;
		showStatus(u);
		refill(form.querySelector("tbody"), u.extensions.map(row));
	}

	form.addEventListener("change", ({ target }) => {
		if (!settings) return;
		if (target.name === "sync") return save({ sync: target.checked === settings.mapping.sync ? null : target.checked });
		const [pbx, ...extension] = target.value.split("/");
		const picked = { pbx, extension: extension.join("/") }, mapped = settings.mapping.default_extension;
		save({ default_extension: mapped && mapped.pbx === picked.pbx && mapped.extension === picked.extension ? null : picked });
	});
	document.getElementById("change").addEventListener("click", () => choose(id));

	const history = showHistory(id, $(".history"), document.getElementById("older"));
	feed.addEventListener("users", ({ detail: { changed, all } }) => {
		if (!all && !changed.some((u) => u.id === id)) return;
		showUser(feed.users.get(id));
		history.refresh();
	});
	get(userPath(id, "/settings")).then((s) => { settings = s; showSettings(); }, (e) => fail(trouble, e));
}
