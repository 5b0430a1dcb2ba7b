// The live feed: everybody, then every change. It tells honestly whether it is live.
import { get, Problem } from "./api.js";
import { t, when } from "./text.js";

const silence = 40_000; // ms without a beat, of which there is one every 15 s, until it counts as cut
const retries = [1, 2, 5, 10, 20, 30]; // seconds

/**
 * Feed dispatches "users" with detail {changed: [user], gone: [id], all: boolean} and
 * "live" when that changes. users has everybody, once ready.
 */
export class Feed extends EventTarget {
	users = new Map();
	ready = false;
	live = false;
	lost; // since when it is not live
	#last = "";
	#source;
	#timer;
	#failed = 0;
	#before; // who was there before a reset, until everybody was sent
	#batch = { changed: new Map(), gone: new Set(), all: false };
	#due = false;

	open() {
		this.#connect();
		document.addEventListener("visibilitychange", () => {
			if (!document.hidden && !this.live) this.#connect(); // timers sleep in the background
		});
	}

	#connect() {
		clearTimeout(this.#timer);
		this.#source?.close();
		const source = new EventSource("/api/v1/events?beat=true&last_event_id=" + this.#last);
		this.#source = source;
		const on = (name, take) => source.addEventListener(name, (e) => {
			if (source !== this.#source) return;
			if (e.lastEventId) this.#last = e.lastEventId;
			take(JSON.parse(e.data));
			this.#alive();
		});
		on("reset", () => { this.#before ??= this.users; this.users = new Map(); this.ready = false; });
		on("user", (user) => this.#put(user));
		on("gone", ({ id }) => { this.users.delete(id); this.#batch.changed.delete(id); this.#batch.gone.add(id); this.#tell(); });
		on("beat", () => this.#complete());
		source.onopen = () => source === this.#source && this.#alive();
		source.onerror = () => {
			if (source === this.#source) this.#cut();
		};
		this.#watch();
	}

	#put(user) {
		const known = this.users.get(user.id);
		if (known && known.version > user.version) return; // a page never goes back
		this.users.set(user.id, user);
		this.#batch.changed.set(user.id, user);
		this.#batch.gone.delete(user.id);
		this.#tell();
	}

	/** After a beat everybody has been sent. */
	#complete() {
		if (this.ready) return;
		for (const id of this.#before?.keys() ?? []) {
			if (!this.users.has(id)) this.#batch.gone.add(id);
		}
		this.#before = undefined;
		this.ready = this.#batch.all = true;
		this.#tell();
	}

	/** Changes that come together are told together, once a frame. */
	#tell() {
		if (this.#due) return;
		this.#due = true;
		setTimeout(() => {
			this.#due = false;
			const batch = this.#batch;
			this.#batch = { changed: new Map(), gone: new Set(), all: false };
			this.dispatchEvent(new CustomEvent("users", { detail: { changed: [...batch.changed.values()], gone: [...batch.gone], all: batch.all } }));
		}, 16);
	}

	#alive() {
		this.#failed = 0;
		this.#watch();
		if (!this.live) this.#say(true);
	}

	#watch() {
		clearTimeout(this.#timer);
		this.#timer = setTimeout(() => this.#cut(), silence);
	}

	#cut() {
		clearTimeout(this.#timer);
		this.#source?.close();
		if (this.live || !this.lost) this.#say(false);
		const wait = retries[Math.min(this.#failed++, retries.length - 1)] * 1000 * (0.75 + Math.random() / 2);
		this.#timer = setTimeout(async () => {
			try {
				await get("/me"); // leads to the sign-in where the session has ended, which EventSource does not tell
			} catch (e) {
				if (!(e instanceof Problem) || e.status === 401) return;
			}
			this.#connect();
		}, wait);
	}

	#say(live) {
		this.live = live;
		this.lost = live ? undefined : new Date();
		this.dispatchEvent(new Event("live"));
	}
}

export const feed = new Feed();

/** showLive writes into the bar whether the page is live. */
export function showLive() {
	const p = document.getElementById("live");
	feed.addEventListener("live", () => {
		p.dataset.state = feed.live ? "on" : "off";
		p.textContent = feed.live ? t("live") : t("not live since {time}", { time: when(feed.lost) });
		document.body.classList.toggle("stale", !feed.live);
	});
}
