'use strict';

// A PostgreSQL server that only pretends: it lets everybody in, answers each
// simple query with one row, and says of the table "nowhere" that it is missing.

const net = require('node:net');

function message(type, ...parts) {
  const body = Buffer.concat(parts);
  const head = Buffer.alloc(5);
  head.write(type, 0, 'latin1');
  head.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}

const int16 = (n) => { const b = Buffer.alloc(2); b.writeInt16BE(n); return b; };
const int32 = (n) => { const b = Buffer.alloc(4); b.writeInt32BE(n); return b; };
const text = (s) => Buffer.from(`${s}\0`);

const ready = () => message('Z', Buffer.from('I'));
const welcome = () => Buffer.concat([
  message('R', int32(0)),
  message('S', text('server_version'), text('16.0')),
  ready(),
]);
const oneRow = () => Buffer.concat([
  message('T', int16(1), text('count'), int32(0), int16(0), int32(20), int16(8), int32(-1), int16(0)),
  message('D', int16(1), int32(1), Buffer.from('7')),
  message('C', text('SELECT 1')),
  ready(),
]);
const missing = () => Buffer.concat([
  message('E', text('SERROR'), text('C42P01'), text('Mrelation "nowhere" does not exist'), Buffer.from([0])),
  ready(),
]);

module.exports = function pretendPostgres() {
  const server = net.createServer((socket) => {
    let pending = Buffer.alloc(0);
    let started = false;
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      pending = Buffer.concat([pending, chunk]);
      for (;;) {
        // Only the first message has no type byte.
        const offset = started ? 1 : 0;
        if (pending.length < offset + 4) return;
        const length = pending.readInt32BE(offset);
        if (pending.length < offset + length) return;
        const type = started ? String.fromCharCode(pending[0]) : 'startup';
        const body = pending.subarray(offset + 4, offset + length);
        pending = pending.subarray(offset + length);
        if (type === 'startup') {
          started = true;
          socket.write(welcome());
        } else if (type === 'Q') {
          socket.write(body.includes('nowhere') ? missing() : oneRow());
        } else if (type === 'X') {
          socket.end();
        }
      }
    });
  });
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve(server));
  });
};
