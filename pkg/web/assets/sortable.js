// A list whose lines are moved: dragged, by buttons, or by Alt and the arrow keys.
import { button, make } from "./show.js";
import { t } from "./text.js";

/**
 * sortable makes lines of items {id, name, mark} in list. moved is told the ids in their
 * new order; say tells somebody who does not see it where a line went.
 */
export function sortable(list, { moved, say }) {
	let dragged;

	function line({ id, name, mark }) {
		const li = make("li");
		li.dataset.id = id;
		li.draggable = !list.closest("fieldset:disabled");
		const grip = make("span", "grip", "⠿");
		grip.setAttribute("aria-hidden", "true");
		li.append(grip, mark, make("span", "name", name), button("↑", t("Move {name} up", { name }), () => move(li, -1)), button("↓", t("Move {name} down", { name }), () => move(li, 1)));
		return li;
	}

	function move(li, by) {
		const focused = document.activeElement;
		const other = by < 0 ? li.previousElementSibling : li.nextElementSibling;
		if (!other) return;
		if (by < 0) other.before(li);
		else other.after(li);
		focused?.focus();
		tell(li);
	}

	function tell(li) {
		const lines = [...list.children];
		say(t("{name} is now {n} of {all}.", { name: li.querySelector(".name").textContent, n: lines.indexOf(li) + 1, all: lines.length }));
		moved(lines.map((x) => x.dataset.id));
	}

	list.addEventListener("keydown", (e) => {
		const by = e.altKey && { ArrowUp: -1, ArrowDown: 1 }[e.key];
		if (!by) return;
		e.preventDefault();
		move(e.target.closest("li"), by);
	});
	list.addEventListener("dragstart", (e) => {
		dragged = e.target.closest("li");
		e.dataTransfer.effectAllowed = "move";
		e.dataTransfer.setData("text/plain", dragged.dataset.id); // Firefox drags nothing without
		dragged.classList.add("dragged");
	});
	list.addEventListener("dragover", (e) => {
		const over = e.target.closest("li");
		if (!dragged || !over) return;
		e.preventDefault();
		if (over === dragged) return;
		const { top, height } = over.getBoundingClientRect();
		if (e.clientY < top + height / 2) over.before(dragged);
		else over.after(dragged);
	});
	list.addEventListener("drop", (e) => e.preventDefault());
	list.addEventListener("dragend", () => {
		dragged?.classList.remove("dragged");
		if (dragged) tell(dragged);
		dragged = undefined;
	});

	return { show: (items) => list.replaceChildren(...items.map(line)) };
}
