// yana 0.3.0, as its README has it: one object a connection, a listener for one event.
'use strict';
const AMI = require('yana');
const peer = require('./peer.js');

peer.serve((host, port, event, done) => {
  const ami = new AMI({ host, port, login: 'listener', password: 'secret', events: true });
  ami.on('PresenceStateChange', (e) => event(e.Presentity, e.Status, e.Subtype, e.Message));
  ami.on('error', (err) => { if (!done.over) { throw new Error(err); } }); // at the end the server closes
  ami.connect(() => ami.send({ Action: 'Ping' }));
  return () => ami.disconnect();
});
