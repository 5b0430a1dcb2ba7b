"""panoramisk 1.4, as its documentation has it: a Manager and a callback for one event. See README.md."""
import asyncio
import os
import sqlite3
import sys

from panoramisk import Manager

HOST, PORT = sys.argv[1], int(sys.argv[2])
LAST = "CustomPresence:999999"


class Listener:
    def __init__(self):
        self.state, self.count, self.db = {}, 0, None
        if path := os.environ.get("PEER_DB"):
            self.db = sqlite3.connect(path, isolation_level=None)  # every statement is a transaction
            self.db.execute("PRAGMA journal_mode=WAL")
            self.db.execute("PRAGMA synchronous=FULL")
            self.db.execute("CREATE TABLE IF NOT EXISTS presence (presentity TEXT PRIMARY KEY, status TEXT, subtype TEXT, message TEXT)")

    async def listen(self):
        self.state, self.count = {}, 0
        over = asyncio.get_running_loop().create_future()
        manager = Manager(
            loop=asyncio.get_running_loop(), host=HOST, port=PORT, username="listener", secret="secret",
            on_login=lambda manager: manager.send_action({"Action": "Ping"}),
        )

        @manager.register_event("PresenceStateChange")
        def event(_, message):
            if message["Presentity"] == LAST:
                if not over.done():
                    over.set_result(None)
                return
            row = (message["Status"], message["Subtype"], message["Message"])
            self.count += 1
            self.state[message["Presentity"]] = row
            if self.db:
                self.db.execute("INSERT OR REPLACE INTO presence VALUES (?, ?, ?, ?)", (message["Presentity"], *row))

        await manager.connect()
        await over
        print("end", self.count, flush=True)
        manager.close()

    def show(self):
        sys.stdout.writelines(f"{presentity}|{'|'.join(row)}\n" for presentity, row in self.state.items())
        print(".", flush=True)


listener = Listener()
for line in sys.stdin:
    if line == "go\n":
        asyncio.run(listener.listen())
    else:
        listener.show()
