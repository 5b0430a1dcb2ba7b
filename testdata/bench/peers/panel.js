// A panel as a small program makes it: asterisk-manager 0.2.0 with keepConnected, each event
// a transaction of better-sqlite3 12.9.0, then socket.io 4.8.4 to every browser. See README.md.
'use strict';
const http = require('http');
const manager = require('asterisk-manager');
const { Server } = require('socket.io');

const [host, port] = process.argv.slice(2);
const write = require('./sqlite.js').writer(process.env.PEER_DB);
const server = http.createServer();
const io = new Server(server, { transports: ['websocket'], serveClient: false });
const ami = manager(port, host, 'listener', 'secret', true);

ami.keepConnected();
ami.on('presencestatechange', (e) => {
  write(e.presentity, e.status, e.subtype, e.message);
  io.emit('presence', { id: e.presentity, status: e.status, subtype: e.subtype, message: e.message, saved: true });
});
ami.action({ action: 'Ping' }, () => { // it waits for the login
  server.listen(0, '127.0.0.1', () => console.log(`join 127.0.0.1:${server.address().port}`));
});
process.stdin.resume().on('end', () => process.exit(0));
