// A link is copied, or at least selected.
import { put } from "./show.js";
import { t } from "./text.js";

/** copy copies what stands in a field, called name, and says in status whether it did. */
export async function copy(input, status, name) {
	try {
		await navigator.clipboard.writeText(input.value); // there is no clipboard without TLS
		put(status, t("Copied: {name}", { name }));
	} catch {
		input.focus();
		input.select();
		put(status, t("The browser does not let the page copy. The link is selected: press Ctrl and C, or Cmd and C."));
	}
}
