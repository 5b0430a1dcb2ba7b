// What every page does: follow the feed, say whether it is live, offer my status.
import { get } from "./api.js";
import { offerMine } from "./choose.js";
import { feed, showLive } from "./feed.js";

const inUse = 10 * 60_000; // ms between two requests of a page that only shows what comes

/** me is the id of the user who has signed in, undefined if they are none. */
export const me = document.documentElement.dataset.user;

/** open follows the feed. Listeners have to be there before. */
export function open() {
	showLive();
	if (me) offerMine(me);
	feed.open();
	// A page in sight is in use, though nobody presses anything: the session goes on.
	setInterval(() => { if (!document.hidden) get("/me").catch(() => {}); }, inUse);
}

export { feed };
