// The history of a user, newest first, page by page.
import { get, userPath } from "./api.js";
import { clock, dot, make } from "./show.js";
import { byName, t } from "./text.js";

/** showHistory fills a list; older is the button that shows more. */
export function showHistory(id, list, older) {
	let next = null, shown = 0;
	const page = (cursor) => get(userPath(id, "/history?limit=20" + (cursor ? "&cursor=" + encodeURIComponent(cursor) : "")));
	const colors = get("/statuses").then(({ items }) => new Map(items.map((x) => [x.id, x.color])), () => new Map());
	const line = (known) => (h) => {
		const li = make("li");
		li.append(clock(h.at), dot(h.type ? { base: h.base, color: known.get(h.type) ?? "gray" } : null), make("span", "status", h.label || h.name || t("no status")), make("span", "message", h.message),
			make("span", "by", t("by {who}: {rule}", { who: byName(h.by), rule: t(h.rule) })));
		return li;
	};
	const add = ({ items, next: cursor }, known) => {
		list.append(...items.map(line(known)));
		shown += items.length;
		next = cursor;
		older.hidden = !next;
	};
	older.addEventListener("click", async () => {
		older.disabled = true;
		try { add(await page(next), await colors); } catch (e) { older.after(make("span", "note bad", e.message)); }
		older.disabled = false;
	});
	const refresh = async () => {
		if (shown > 20) return; // who reads back is not disturbed
		const [first, known] = await Promise.all([page().catch(() => null), colors]);
		if (!first) return;
		list.replaceChildren();
		shown = 0;
		add(first, known);
		if (!first.items.length) list.append(make("li", "", t("Nothing yet.")));
	};
	refresh();
	return { refresh };
}
