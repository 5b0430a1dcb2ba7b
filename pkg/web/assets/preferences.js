// What this account likes: favourites and the language. It is one small object in the
// store; the tabs of a browser tell each other of changes, so that none writes over another.
import { call, get } from "./api.js";

const others = new BroadcastChannel("presencebridge-preferences");
const listeners = [];
let kept; // undefined: not read yet

const tell = () => listeners.forEach((f) => f(kept));

others.onmessage = ({ data }) => { kept = data; tell(); };

/** follow calls f with the preferences, now and whenever they change; the promise is that they were read. */
export async function follow(f) {
	listeners.push(f);
	kept ??= (await get("/me/preferences")) ?? {};
	f(kept);
}

/** prefer changes some of them. What was not read is not written over. */
export async function prefer(some) {
	if (!kept) kept = (await get("/me/preferences")) ?? {};
	kept = { ...kept, ...some };
	others.postMessage(kept);
	tell();
	await call("PUT", "/me/preferences", kept);
}
