// What this account likes: favourites and the language. It is one small object in the
// store, of which changes alone are sent: another browser may have changed the rest. The
// tabs of one tell each other.
import { call, get } from "./api.js";

const others = new BroadcastChannel("presencebridge-preferences");
const listeners = [];
let kept; // undefined: not read yet
let last = Promise.resolve(); // the change that was asked for last

function keep(all) {
	kept = all;
	listeners.forEach((f) => f(kept));
}

others.onmessage = ({ data }) => keep(data);

/** follow calls f with the preferences, now and whenever they change; the promise is that they were read. */
export async function follow(f) {
	listeners.push(f);
	const read = kept ?? (await get("/me/preferences"));
	kept ??= read ?? {}; // what came meanwhile is newer
	f(kept);
}

/** applied is what a change makes of preferences, as the bridge does. */
function applied(all, { set = {}, add = {}, remove = {} }) {
	const next = { ...all, ...set };
	for (const name of new Set([...Object.keys(add), ...Object.keys(remove)])) {
		next[name] = [...new Set([...(next[name] ?? []), ...(add[name] ?? [])])].filter((x) => !remove[name]?.includes(x));
	}
	return next;
}

/** prefer makes a change {set, add, remove}. It shows at once, and as the bridge has it once that has answered. */
export function prefer(change) {
	keep(applied(kept ?? {}, change));
	const mine = last.catch(() => {}).then(async () => {
		let all;
		try {
			all = (await call("PATCH", "/me/preferences", change)).value;
		} catch (e) {
			get("/me/preferences").then(keep, () => {});
			throw e;
		}
		if (mine === last) keep(all); // else more is to come
		others.postMessage(all);
	});
	last = mine;
	return mine;
}
