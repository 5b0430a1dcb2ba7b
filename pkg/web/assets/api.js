// The bridge's API, with the session of who has signed in.
import { t, told } from "./text.js";

/** Problem is a refusal of the API: what to tell, and every fault where there are several. */
export class Problem extends Error {
	constructor(status, { detail, code, params, errors, faults, near } = {}) {
		const text = detail ? told(detail, { code, params }) : t("The bridge did not answer. Try again.");
		super(near && text !== detail ? text + " " + t("Did you mean {near}?", { near }) : text);
		this.status = status;
		this.faults = faults ?? [];
		this.errors = faults?.map(faultText) ?? errors ?? [];
	}
}

/** faultText is a fault of the rules: where, what is wrong, and what to do. */
export const faultText = (f) => [f.field, told([f.what, f.do].filter(Boolean).join(": "), f)].filter(Boolean).join(": ");

/**
 * call asks the API and returns its answer, null if that is empty. Who is no longer
 * signed in is led to where that is done, and comes back; but not from a dialog, where
 * something may have been typed.
 */
export async function call(method, path, body, headers = {}) {
	let answer, value;
	try {
		answer = await fetch("/api/v1" + path, {
			method,
			headers: body === undefined ? headers : { "Content-Type": "application/json", ...headers },
			body: body === undefined ? undefined : JSON.stringify(body),
			keepalive: body !== undefined, // who leaves the page has done it all the same
		});
		const text = answer.status === 401 ? "" : await answer.text();
		value = text ? JSON.parse(text) : null;
	} catch {
		throw new Problem(answer?.status ?? 0);
	}
	if (answer.status === 401) {
		if (!document.querySelector("dialog[open]")) signIn();
		throw new Problem(401, { detail: t("You are no longer signed in. Sign in in another tab, then try again here.") });
	}
	if (!answer.ok) throw new Problem(answer.status, value ?? {});
	return { value, tag: answer.headers.get("ETag") };
}

export const get = async (path) => (await call("GET", path)).value;

/** signIn leads to where one signs in, and back to here. */
export function signIn() {
	location.assign("/sign-in?next=" + encodeURIComponent(location.pathname + location.search));
}

/** userPath is the address of a user in the API. */
export const userPath = (id, rest = "") => "/users/" + encodeURIComponent(id) + rest;
