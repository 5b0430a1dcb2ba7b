// What every page does: follow the feed, say whether it is live, offer my status.
import { feed, showLive } from "./feed.js";
import { offerMine } from "./choose.js";

/** me is the id of the user who has signed in, undefined if they are none. */
export const me = document.documentElement.dataset.user;

/** open follows the feed. Listeners have to be there before. */
export function open() {
	showLive();
	if (me) offerMine(me);
	feed.open();
}

export { feed };
