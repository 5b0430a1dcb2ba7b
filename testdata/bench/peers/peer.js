// What both scripts for Node have in common: see README.md.
'use strict';
const readline = require('readline');
const write = require('./sqlite.js').writer(process.env.PEER_DB);

// serve obeys the standard input. listen connects and calls event for each PresenceStateChange;
// it returns what disconnects. done.over says that the last event has come.
exports.serve = (listen) => {
  const [host, port] = process.argv.slice(2);
  let state = new Map();

  const go = () => {
    let count = 0;
    const done = { over: false };
    state = new Map();
    const stop = listen(host, Number(port), (presentity, status, subtype, message) => {
      if (presentity === 'CustomPresence:999999') {
        done.over = true;
        process.stdout.write(`end ${count}\n`);
        stop();
        return;
      }
      count++;
      state.set(presentity, { status, subtype, message });
      write(presentity, status, subtype, message);
    }, done);
  };

  const show = () => {
    const lines = [];
    for (const [presentity, s] of state) {
      lines.push(`${presentity}|${s.status}|${s.subtype}|${s.message}\n`);
    }
    process.stdout.write(lines.join('') + '.\n');
  };

  readline.createInterface({ input: process.stdin })
    .on('line', (line) => (line === 'go' ? go() : show()))
    .on('close', () => process.exit(0));
};
