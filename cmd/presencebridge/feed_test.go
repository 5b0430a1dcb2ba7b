package main

import (
	"fmt"
	"testing"

	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

// follow makes feeds on a page that has none of its own: another tab has the stream until
// lead() ends that. What the stream sends is put into the hands of the test.
const follow = `(async () => {
	const {Feed} = await import(document.querySelector("link[rel=stylesheet]").href.replace("panel.css", "feed.js"));
	let source, lead;
	globalThis.EventSource = class extends EventTarget { constructor() { super(); source = this; } close() {} };
	await new Promise((led) => navigator.locks.request("presencebridge-feed", () => { led(); return new Promise((end) => { lead = end; }); }));
	const until = async (yes) => { for (let i = 0; i < 100 && !yes(); i++) await new Promise((r) => setTimeout(r, 20)); return yes(); };
	const stream = (name, id, data) => source.dispatchEvent(new MessageEvent(name, {data: JSON.stringify(data), lastEventId: id}));
	const user = (id) => ({id, version: 1});
	const other = new BroadcastChannel("presencebridge-feed");
	const feed = new Feed();
	feed.open();
	%s
})()`

func TestATabThatComesWhileEverybodyIsSentHasEverybody(t *testing.T) {
	browserPath(t)
	h := startHouse(t, threeMethods, pbxtest.NewSimulated(t, pbxtest.Options{}))
	for _, tc := range []struct{ name, steps string }{
		{"who heard the end alone waits for the rest", `
			other.postMessage({name: "user", id: "7", data: user("bob")});
			other.postMessage({name: "beat", id: ""});
			if (!await until(() => feed.live)) return "it hears nothing";
			if (feed.ready) return "it takes a part for everybody";
			other.postMessage({name: "everybody", id: "8", data: {users: [user("alice"), user("bob")], live: true}});
			await until(() => feed.ready);
			return String(feed.ready && feed.users.size);`},
		{"who has the stream tells who asked meanwhile", `
			const told = [];
			other.onmessage = ({data}) => { if (data.name === "everybody") told.push(data.data.users.length); };
			lead();
			if (!await until(() => source)) return "it does not lead";
			stream("reset", "1", {});
			stream("user", "2", user("alice"));
			other.postMessage({name: "hello"});
			await new Promise((r) => setTimeout(r, 200));
			stream("user", "3", user("bob"));
			stream("beat", "", {});
			await until(() => told.length);
			return String(told);`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := h.open(h.base)
			p.visit("/sign-in")
			if got := eval[string](p, fmt.Sprintf(follow, tc.steps)); got != "2" {
				t.Error(got)
			}
			p.close()
		})
	}
}

func TestSomebodyWhoGoesWhileTheBoardIsMadeDoesNotStopIt(t *testing.T) {
	browserPath(t)
	h := startHouse(t, threeMethods, pbxtest.NewSimulated(t, pbxtest.Options{}))
	alice := h.enter("alice", "--user", "alice")
	eval[bool](alice, `(async () => {
		const {feed} = await import(document.querySelector("link[rel=stylesheet]").href.replace("panel.css", "feed.js"));
		const one = feed.users.get("alice"), tell = (detail) => feed.dispatchEvent(new CustomEvent("users", {detail: {changed: [], gone: [], all: false, ...detail}}));
		feed.users = new Map(Array.from({length: 1500}, (_, i) => ["u" + i, {...one, id: "u" + i, name: "User " + i}]));
		tell({gone: ["alice", "bob", "carol", "dave"], all: true});
		feed.users.delete("u1400");
		tell({gone: ["u1400"]});
		return true;
	})()`)
	alice.sees("everybody else", `document.querySelectorAll("#people li").length === 1499`)
}
