// Drives the X-Ray API through @aws-sdk/client-xray.
//
//   node api.mjs ENDPOINT
//
// Prints a line of JSON for each check: {"check":"...","error":null or text}.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';

import {
  BatchGetTracesCommand, CreateGroupCommand, DeleteGroupCommand, GetGroupCommand, GetTraceSummariesCommand,
  InvalidRequestException, PutTelemetryRecordsCommand, PutTraceSegmentsCommand, UpdateGroupCommand, XRayClient,
  XRayServiceException, paginateBatchGetTraces, paginateGetGroups, paginateGetServiceGraph,
  paginateGetTimeSeriesServiceStatistics, paginateGetTraceGraph, paginateGetTraceSummaries,
} from '@aws-sdk/client-xray';

const client = new XRayClient({
  endpoint: process.argv[2],
  region: 'eu-west-1',
  credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
  maxAttempts: 1,
});

const hex = (bytes) => randomBytes(bytes).toString('hex');
const traceID = () => `1-${Math.floor(Date.now() / 1000).toString(16)}-${hex(12)}`;

function segment(trace, more = {}) {
  const now = Date.now() / 1000;
  return {
    trace_id: trace, id: hex(8), name: 'ferry', start_time: now - 1, end_time: now - 0.5, ...more,
  };
}

async function put(...docs) {
  const answer = await client.send(new PutTraceSegmentsCommand({
    TraceSegmentDocuments: docs.map((doc) => (typeof doc === 'string' ? doc : JSON.stringify(doc))),
  }));
  return answer.UnprocessedTraceSegments;
}

async function get(...ids) {
  return (await client.send(new BatchGetTracesCommand({ TraceIds: ids }))).Traces;
}

// all collects a member of all pages.
async function all(pages, member) {
  const list = [];
  for await (const page of pages) list.push(...page[member]);
  return list;
}

const checks = {
  async putAndReadBack() {
    const trace = traceID();
    const doc = segment(trace, {
      annotations: { deck: 'upper', cars: 12, night: false, depth: 3.5 },
      metadata: { default: { crew: ['Ana', { name: 'Bo', since: 1999 }], none: null } },
      user: 'captain',
      subsegments: [{ id: hex(8), name: 'board', start_time: 1.5, end_time: 2.25 }],
    });
    assert.deepEqual(await put(doc), []);
    const [got] = await get(trace);
    assert.equal(got.Id, trace);
    assert.equal(got.LimitExceeded, false);
    assert.deepEqual(JSON.parse(got.Segments[0].Document), doc);
  },

  async refusals() {
    const trace = traceID();
    const nameless = segment(trace, { name: undefined });
    const good = segment(trace);
    const unprocessed = await put('{', nameless, good);
    assert.deepEqual(unprocessed.map(({ Id, ErrorCode, Message }) => [Id ?? null, ErrorCode, Message]), [
      [null, 'ParseError', 'Invalid segment. ErrorCode: ParseError'],
      [nameless.id, 'MissingName', 'Invalid segment. ErrorCode: MissingName'],
    ]);
    const [got] = await get(trace);
    assert.deepEqual(got.Segments.map((s) => s.Id), [good.id]);
  },

  async typedExceptions() {
    await assert.rejects(get('rubbish'), (err) => {
      assert.ok(err instanceof InvalidRequestException);
      assert.equal(err.name, 'InvalidRequestException');
      assert.equal(err.message, 'Invalid trace id rubbish: incorrect id format');
      assert.equal(err.$metadata.httpStatusCode, 400);
      assert.ok(err.$metadata.requestId, 'no request id');
      return true;
    });
    await assert.rejects(put(), { name: 'InvalidRequestException', message: 'Segments can not be empty' });
  },

  async validationByTheServer() {
    // The client sends what it is given.
    await assert.rejects(client.send(new BatchGetTracesCommand({})), (err) => {
      assert.ok(err instanceof XRayServiceException);
      assert.equal(err.name, 'ValidationException');
      assert.equal(err.message, "1 validation error detected: Value null at 'traceIds' failed to satisfy constraint: Member must not be null");
      return true;
    });
  },

  async summariesOverManyPages() {
    const base = 1500000000 + randomBytes(3).readUIntBE(0, 3);
    const ids = new Set();
    const docs = [];
    for (let i = 0; i < 250; i += 1) {
      const trace = traceID();
      ids.add(trace);
      docs.push(segment(trace, { start_time: base + i / 10, end_time: base + i / 10 + 2, error: i % 2 === 0 }));
    }
    for (let i = 0; i < docs.length; i += 50) assert.deepEqual(await put(...docs.slice(i, i + 50)), []);
    const got = [];
    let pages = 0;
    const window = { StartTime: new Date(base * 1000), EndTime: new Date((base + 60) * 1000), TimeRangeType: 'TraceId' };
    for await (const page of paginateGetTraceSummaries({ client }, window)) {
      pages += 1;
      for (const summary of page.TraceSummaries) {
        got.push(summary.Id);
        assert.equal(typeof summary.HasError, 'boolean');
        assert.ok(summary.Http, 'Http is missing');
        assert.ok(summary.StartTime instanceof Date);
      }
    }
    assert.equal(got.length, ids.size);
    assert.deepEqual(new Set(got), ids);
    assert.ok(pages > 1, `${pages} page`);
    const whole = await client.send(new GetTraceSummariesCommand(window));
    assert.ok(whole.ApproximateTime instanceof Date);
    assert.ok(whole.TracesProcessedCount > 0);
  },

  async batchPaginator() {
    const ids = [traceID(), traceID()];
    for (const id of ids) assert.deepEqual(await put(segment(id)), []);
    const got = [];
    for await (const page of paginateBatchGetTraces({ client }, { TraceIds: ids })) {
      got.push(...page.Traces.map((trace) => trace.Id));
    }
    assert.deepEqual(got.sort(), ids.sort());
  },

  async graphsStatisticsAndGroups() {
    const trace = traceID();
    const call = hex(8);
    const now = Math.floor(Date.now() / 1000);
    const { Group: group } = await client.send(new CreateGroupCommand({ GroupName: 'quay', FilterExpression: 'service("pier")' }));
    assert.equal((await client.send(new GetGroupCommand({ GroupARN: group.GroupARN }))).Group.GroupName, 'quay');
    assert.deepEqual(await put(
      segment(trace, {
        name: 'pier', start_time: now - 3, end_time: now - 1, fault: true,
        cause: { exceptions: [{ id: hex(8), type: 'FogError', message: 'nothing to see' }] },
        subsegments: [{ id: call, name: 'lock.example', namespace: 'remote', start_time: now - 2.75, end_time: now - 1.5 }],
      }),
      segment(trace, { name: 'lock', parent_id: call, start_time: now - 2.5, end_time: now - 2, annotations: { open: true } }),
    ), []);
    const window = { StartTime: new Date((now - 600) * 1000), EndTime: new Date((now + 600) * 1000) };
    const filtered = (text) => all(paginateGetTraceSummaries({ client }, { ...window, FilterExpression: text }), 'TraceSummaries');
    const [found] = await filtered('service("lock") { annotation.open = true } AND rootcause.fault.exception { name = "FogError" }');
    assert.equal(found.Id, trace);
    assert.equal(found.FaultRootCauses[0].Services[0].Type, '');
    assert.equal(found.FaultRootCauses[0].Services[0].EntityPath[0].Exceptions[0].Name, 'FogError');
    assert.equal(found.Annotations.open[0].AnnotationValue.BooleanValue, true);
    assert.deepEqual(await filtered(`service("lock") { fault } AND service("pier")`), []);
    await assert.rejects(filtered('fault AND (madeup = 7)'), (err) => {
      assert.ok(err instanceof InvalidRequestException);
      assert.equal(err.message, "Error Location: line 1, position 12 : Invalid input symbol: 'ma'");
      return true;
    });

    for (const pages of [
      () => paginateGetServiceGraph({ client }, { ...window, GroupName: 'quay' }),
      () => paginateGetTraceGraph({ client }, { TraceIds: [trace] }),
    ]) {
      let services;
      for (let i = 0; i < 150; i += 1) { // what counts, counts within seconds
        services = await all(pages(), 'Services');
        if (services.length >= 3) break;
        await new Promise((resolve) => { setTimeout(resolve, 100); });
      }
      assert.deepEqual(services.map((s) => [s.Name, s.Type ?? null, s.State]), [
        ['lock', null, 'active'], ['pier', null, 'active'], ['pier', 'client', 'unknown'],
      ]);
      const [lock, pier, visitor] = services;
      assert.deepEqual(pier.Edges.map((e) => e.ReferenceId), [lock.ReferenceId]);
      assert.deepEqual(visitor.Edges.map((e) => e.ReferenceId), [pier.ReferenceId]);
      assert.equal(pier.SummaryStatistics.FaultStatistics.TotalCount, 1);
      assert.equal(pier.Edges[0].SummaryStatistics.OkCount, 1);
      assert.equal(pier.Edges[0].Aliases[0].Name, 'lock.example');
      assert.deepEqual(pier.Edges[0].ResponseTimeHistogram, [{ Count: 1, Value: 1.25 }]);
    }
    const points = await all(paginateGetTimeSeriesServiceStatistics({ client }, {
      ...window, EntitySelectorExpression: 'edge("pier", "lock")', Period: 60,
    }), 'TimeSeriesServiceStatistics');
    const numbers = points.filter((p) => p.EdgeSummaryStatistics);
    assert.equal(numbers.length, 1);
    assert.ok(numbers[0].Timestamp instanceof Date);
    assert.equal(numbers[0].EdgeSummaryStatistics.TotalCount, 1);

    await client.send(new UpdateGroupCommand({ GroupName: 'quay', FilterExpression: 'fault' }));
    assert.deepEqual((await all(paginateGetGroups({ client }, {}), 'Groups')).map((g) => [g.GroupName, g.FilterExpression ?? null]), [
      ['Default', null], ['quay', 'fault'],
    ]);
    await client.send(new DeleteGroupCommand({ GroupName: 'quay' }));
    await assert.rejects(client.send(new GetGroupCommand({ GroupName: 'quay' })), { name: 'InvalidRequestException', message: 'Group not found' });
  },

  async telemetry() {
    await client.send(new PutTelemetryRecordsCommand({
      TelemetryRecords: [{ Timestamp: new Date(), SegmentsReceivedCount: 3 }], Hostname: 'host-2',
    }));
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
client.destroy();
