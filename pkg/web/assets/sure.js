// A question before what cannot be taken back.
const dialog = document.getElementById("sure");

/** sure asks, and is true if the answer is yes. */
export function sure(question) {
	dialog.querySelector("p").textContent = question;
	dialog.returnValue = "";
	dialog.showModal();
	const { promise, resolve } = Promise.withResolvers();
	dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
	return promise;
}
