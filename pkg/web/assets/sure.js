// A question before what cannot be taken back.
const dialog = document.getElementById("sure");

/** sure asks, and is true if the answer is yes. The event that tells of the end of a dialog may come when it asks again, so it is not waited for. */
export function sure(question) {
	const { promise, resolve } = Promise.withResolvers();
	dialog.querySelector("p").textContent = question;
	dialog.querySelector("form").onsubmit = ({ submitter }) => resolve(submitter.value === "yes");
	dialog.oncancel = () => resolve(false);
	dialog.showModal();
	return promise;
}
