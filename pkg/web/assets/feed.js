// The live feed: everybody, then every change. It tells honestly whether it is live.
//
// A browser opens only six connections to one server, so of all tabs one has the stream
// and tells the others what comes. When it is closed, the next one goes on where it was.
import { get } from "./api.js";
import { t, when } from "./text.js";

const silence = 40_000; // ms without a beat, of which there is one every 15 s, until it counts as cut
const retries = [1, 2, 5, 10, 20, 30]; // seconds
const name = "presencebridge-feed";

/**
 * Feed dispatches "users" with detail {changed: [user], gone: [id], all: boolean} and
 * "live" when that changes. users has everybody, once ready.
 */
export class Feed extends EventTarget {
	users = new Map();
	ready = false;
	live = false;
	lost; // since when it is not live
	last = ""; // id of the last event
	#before; // who was there before a reset, until everybody was sent; undefined: no reset was heard
	#asked = false; // another tab wants to know who is there
	#batch = { changed: new Map(), gone: new Set(), all: false };
	#due = false;
	#watch;
	#others = new BroadcastChannel(name);
	#stream; // undefined: another tab has it

	open() {
		this.#others.onmessage = ({ data }) => {
			if (data.name !== "hello") return this.#take(data);
			this.#asked = true;
			this.#answer();
		};
		this.#others.postMessage({ name: "hello" });
		this.#lead();
		this.#expect();
	}

	/** #lead waits until no other tab has the stream, then opens it. */
	#lead(options = {}) {
		navigator.locks.request(name, options, () => {
			this.#stream = new Stream(this, (message) => { this.#take(message); this.#others.postMessage(message); });
			return new Promise(() => {}); // for as long as this page is there
		}).catch(() => { // another tab, which heard nothing of this one, has taken it
			this.#stream?.close();
			this.#stream = undefined;
			this.#lead();
		});
	}

	/** #answer tells the tabs that have asked who is there, once this one knows it. */
	#answer() {
		if (!this.#asked || !this.#stream || !this.ready) return;
		this.#asked = false;
		this.#others.postMessage({ name: "everybody", id: this.last, data: { users: [...this.users.values()], live: this.live } });
	}

	/** #take takes what the stream sends, here or in another tab. */
	#take({ name, id, data }) {
		if (id) this.last = id;
		switch (name) {
		case "reset": this.#before ??= this.users; this.users = new Map(); this.ready = false; break;
		case "user": this.#put(data); break;
		case "gone": this.users.delete(data.id); this.#batch.changed.delete(data.id); this.#batch.gone.add(data.id); this.#tell(); break;
		case "beat":
			if (this.#before) this.#complete(); // who came after the reset has heard a part
			this.#answer();
			break;
		case "everybody":
			if (this.ready) return;
			for (const user of data.users) this.#put(user);
			this.#complete();
			if (!data.live) return;
			break;
		case "cut": this.#say(false); return;
		}
		this.#expect();
		this.#say(true);
	}

	#put(user) {
		const known = this.users.get(user.id);
		if (known && known.version > user.version) return; // a page never goes back
		this.users.set(user.id, user);
		this.#batch.changed.set(user.id, user);
		this.#batch.gone.delete(user.id);
		this.#tell();
	}

	/** After a reset and a beat everybody has been sent. */
	#complete() {
		if (this.ready) return;
		for (const id of this.#before?.keys() ?? []) {
			if (!this.users.has(id)) this.#batch.gone.add(id);
		}
		this.#before = undefined;
		this.ready = this.#batch.all = true;
		this.#tell();
	}

	/** Changes that come together are told together. */
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

	/** #expect waits for the next sign of life. */
	#expect() {
		clearTimeout(this.#watch);
		this.#watch = setTimeout(() => {
			this.#say(false);
			if (this.#stream) this.#stream.cut();
			else this.#lead({ steal: true }); // the tab that has it sleeps
			this.#expect();
		}, silence);
	}

	#say(live) {
		if (live === this.live && (live || this.lost)) return;
		this.live = live;
		this.lost = live ? undefined : new Date();
		this.dispatchEvent(new Event("live"));
	}
}

/** Stream is the connection: it sends messages {name, id, data}, and comes back by itself. */
class Stream {
	#feed;
	#send;
	#source;
	#retry;
	#failed = 0;

	constructor(feed, send) {
		this.#feed = feed;
		this.#send = send;
		document.addEventListener("visibilitychange", () => {
			if (!document.hidden && !feed.live && this.#source) this.#connect(); // timers sleep in the background
		});
		this.#connect();
	}

	close() {
		clearTimeout(this.#retry);
		this.#source.close();
		this.#source = undefined;
	}

	#connect() {
		clearTimeout(this.#retry);
		this.#source?.close();
		const source = (this.#source = new EventSource("/api/v1/events?beat=true&last_event_id=" + (this.#feed.ready ? this.#feed.last : "")));
		for (const name of ["open", "reset", "user", "gone", "beat"]) {
			source.addEventListener(name, (e) => {
				if (source !== this.#source) return;
				this.#failed = 0;
				this.#send({ name, id: e.lastEventId, data: e.data && JSON.parse(e.data) });
			});
		}
		source.onerror = () => { if (source === this.#source) this.cut(); };
	}

	/** cut ends the connection, and makes another one after a while. */
	cut() {
		clearTimeout(this.#retry);
		this.#source.close();
		this.#send({ name: "cut" });
		const wait = retries[Math.min(this.#failed++, retries.length - 1)] * 1000 * (0.75 + Math.random() / 2);
		this.#retry = setTimeout(async () => {
			// It leads to the sign-in where the session has ended, which EventSource does not tell.
			await get("/me").catch(() => {});
			if (this.#source) this.#connect();
		}, wait);
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
