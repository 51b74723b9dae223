// Signs calls with @aws-sdk/client-xray, well and badly.
//
//   node keys.mjs ENDPOINT KEYS
//
// KEYS is a JSON object of "admin", "reader", "writer", "expired" and "revoked", each with
// "access_key_id" and "secret_access_key".
// Prints a line of JSON for each check: {"check":"...","error":null or text}.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';

import {
  BatchGetTracesCommand, DeleteGroupCommand, GetGroupsCommand, PutTraceSegmentsCommand, XRayClient,
} from '@aws-sdk/client-xray';

const keys = JSON.parse(process.argv[3]);
const hex = (bytes) => randomBytes(bytes).toString('hex');

function client(key, more = {}) {
  return new XRayClient({
    endpoint: process.argv[2],
    region: 'eu-central-1',
    credentials: { accessKeyId: key.access_key_id, secretAccessKey: key.secret_access_key },
    maxAttempts: 1,
    ...more,
  });
}

async function refused(key, command, name, message, more) {
  const c = client(key, more);
  await assert.rejects(c.send(command), (err) => {
    assert.equal(err.name, name);
    assert.equal(err.$metadata.httpStatusCode, 403);
    assert.ok(err.message.startsWith(message), `${err.message} does not begin with ${message}`);
    assert.ok(err.$metadata.requestId);
    return true;
  });
  return c;
}

const checks = {
  async goodKeys() {
    const trace = `1-${Math.floor(Date.now() / 1000).toString(16)}-${hex(12)}`;
    const now = Date.now() / 1000;
    const doc = JSON.stringify({ trace_id: trace, id: hex(8), name: 'lock', start_time: now - 1, end_time: now });
    await client(keys.writer).send(new PutTraceSegmentsCommand({ TraceSegmentDocuments: [doc] }));
    const answer = await client(keys.reader).send(new BatchGetTracesCommand({ TraceIds: [trace] }));
    assert.deepEqual(answer.Traces.map((t) => t.Id), [trace]);
    await client(keys.admin).send(new GetGroupsCommand({}));
  },

  async badKeys() {
    const groups = new GetGroupsCommand({});
    const wrong = { ...keys.reader, secret_access_key: 'x'.repeat(40) };
    await refused(wrong, groups, 'InvalidSignatureException', 'The request signature we calculated');
    await refused(keys.revoked, groups, 'UnrecognizedClientException', 'The security token included in the request is invalid.');
    await refused(keys.expired, groups, 'ExpiredTokenException', 'The security token included in the request is expired');
    await refused(keys.writer, groups, 'AccessDeniedException', 'User: arn:aws:iam::000000000000:user/writer is not authorized');
    await refused(keys.reader, new DeleteGroupCommand({ GroupName: 'x' }), 'AccessDeniedException', 'User: arn:aws:iam');
  },

  // The SDK learns from a refusal how wrong its clock is, and does better the next time.
  async wrongClock() {
    for (const minutes of [-10, 10]) {
      const c = await refused(keys.reader, new GetGroupsCommand({}), 'InvalidSignatureException', 'Signature ', { systemClockOffset: minutes * 60_000 });
      await c.send(new GetGroupsCommand({}));
    }
  },
};

for (const [name, run] of Object.entries(checks)) {
  let error = null;
  try {
    await run();
  } catch (err) {
    error = err.stack;
  }
  process.stdout.write(`${JSON.stringify({ check: name, error })}\n`);
}
