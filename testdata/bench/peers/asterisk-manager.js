// asterisk-manager 0.2.0, as its README has it, without keepConnected, which would come back
// after the end. It has no callback of a login: actions wait for it by themselves.
'use strict';
const manager = require('asterisk-manager');
const peer = require('./peer.js');

peer.serve((host, port, event) => {
  const ami = manager(port, host, 'listener', 'secret', true);
  ami.on('presencestatechange', (e) => event(e.presentity, e.status, e.subtype, e.message));
  ami.action({ action: 'Ping' });
  return () => ami.disconnect();
});
