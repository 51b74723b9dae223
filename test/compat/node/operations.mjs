// Calls every operation of X-Ray that @aws-sdk/client-xray has, and reads the answers.
//
//   node operations.mjs ENDPOINT [BAD]
//
// The key is that of the environment. BAD is a JSON object of keys by the name of the
// refusal that they have to get from every operation, each with "access_key_id" and
// "secret_access_key".
// Prints a line of JSON for each check: {"check":"...","error":null or text}. The last
// ones fail when an operation was not called, or let a bad key in.

import assert from 'node:assert/strict';

import * as sdk from '@aws-sdk/client-xray';

const connect = (id, secret) => new sdk.XRayClient({
  endpoint: process.argv[2],
  region: 'eu-west-1',
  credentials: { accessKeyId: id, secretAccessKey: secret },
  maxAttempts: 1,
});
const client = connect(process.env.AWS_ACCESS_KEY_ID, process.env.AWS_SECRET_ACCESS_KEY);
const bad = JSON.parse(process.argv[3] ?? '{}');

const called = new Map(); // the input of the latest call, by command
client.middlewareStack.add((next, context) => (args) => {
  called.set(context.commandName, args.input);
  return next(args);
}, { step: 'initialize', name: 'noteCommand' });

// call sends the command of an operation and returns its answer without metadata.
async function call(operation, input = {}) {
  const { $metadata, ...answer } = await client.send(new sdk[`${operation}Command`](input));
  assert.equal($metadata.httpStatusCode, 200);
  return answer;
}

// refused wants an exception of that class.
async function refused(operation, input, name, message) {
  await assert.rejects(call(operation, input), (err) => {
    assert.equal(err.name, name);
    if (sdk[name]) assert.ok(err instanceof sdk[name], `${err} is no ${name}`);
    if (message) assert.equal(err.message, message);
    return true;
  });
}

const now = Math.floor(Date.now() / 1000);
const window = { StartTime: new Date((now - 600) * 1000), EndTime: new Date((now + 600) * 1000) };
const trace = `1-${now.toString(16)}-00000000000000000000ab5e`;
const insight = '01234567-89ab-4def-8123-456789abcdef';
const policy = JSON.stringify({
  Version: '2012-10-17',
  Statement: [{ Effect: 'Allow', Principal: { Service: 'sns.amazonaws.com' }, Action: ['xray:PutTraceSegments'], Resource: '*' }],
}, null, 1);

const checks = {
  async traces() {
    const doc = {
      trace_id: trace, id: '00000000000000a1', name: 'mill', start_time: now - 2, end_time: now - 1,
      links: [{ trace_id: '1-5c631180-000000000000000000000001', id: '00000000000000ff', attributes: { 'aws.xray.reserved.reference_type': 'child' } }],
    };
    assert.deepEqual((await call('PutTraceSegments', { TraceSegmentDocuments: [JSON.stringify(doc)] })).UnprocessedTraceSegments, []);
    assert.deepEqual((await call('BatchGetTraces', { TraceIds: [trace] })).Traces.map((t) => t.Id), [trace]);
    assert.deepEqual((await call('GetTraceSummaries', window)).TraceSummaries.map((s) => s.Id), [trace]);
    assert.deepEqual((await call('GetTraceGraph', { TraceIds: [trace] })).Services.map((s) => s.Name), ['mill', 'mill']);
    let services;
    for (let i = 0; i < 150; i += 1) { // what counts, counts within seconds
      services = (await call('GetServiceGraph', window)).Services;
      if (services.length === 2) break;
      await new Promise((resolve) => { setTimeout(resolve, 100); });
    }
    assert.deepEqual(services.map((s) => s.State), ['active', 'unknown']);
    const series = (await call('GetTimeSeriesServiceStatistics', { ...window, Period: 300 })).TimeSeriesServiceStatistics;
    assert.equal(series.reduce((n, p) => n + p.EdgeSummaryStatistics.TotalCount, 0), 1);
  },

  async telemetry() {
    const record = { Timestamp: new Date(), SegmentsReceivedCount: 5, BackendConnectionErrors: { TimeoutCount: 1 } };
    assert.deepEqual(await call('PutTelemetryRecords', { TelemetryRecords: [record], Hostname: 'mill-1' }), {});
    await refused('PutTelemetryRecords', { TelemetryRecords: [] }, 'InvalidRequestException', 'Telemetry records cannot be empty');
  },

  async retrieval() {
    const start = async () => (await call('StartTraceRetrieval', { ...window, TraceIds: [trace, '1-5c631180-000000000000000000000001'] })).RetrievalToken;
    let RetrievalToken = await start();
    for (const [TraceFormat, key] of [['XRAY', 'trace_id'], ['OTEL', 'traceId']]) {
      const listed = await call('ListRetrievedTraces', { RetrievalToken, TraceFormat });
      assert.deepEqual([listed.RetrievalStatus, listed.TraceFormat, listed.Traces.length], ['COMPLETE', TraceFormat, 1]);
      const span = JSON.parse(listed.Traces[0].Spans[0].Document);
      assert.equal(span.name, 'mill');
      assert.ok(span[key], `${key} is missing`);
    }
    const { Services: services } = await call('GetRetrievedTracesGraph', { RetrievalToken });
    assert.deepEqual(services.map((s) => s.Service.Name), ['mill', 'mill']);
    assert.deepEqual(services[0].Links.map((l) => l.ReferenceType), ['child']);
    await refused('CancelTraceRetrieval', { RetrievalToken }, 'InvalidRequestException');
    RetrievalToken = await start();
    assert.deepEqual(await call('CancelTraceRetrieval', { RetrievalToken }), {});
    assert.equal((await call('ListRetrievedTraces', { RetrievalToken })).RetrievalStatus, 'CANCELLED');
    await refused('ListRetrievedTraces', { RetrievalToken: 'none' }, 'ResourceNotFoundException');
  },

  async groupsAndTags() {
    const { Group: group } = await call('CreateGroup', { GroupName: 'mills', FilterExpression: 'fault', Tags: [{ Key: 'a', Value: '1' }] });
    assert.equal((await call('UpdateGroup', { GroupName: 'mills', FilterExpression: 'error' })).Group.FilterExpression, 'error');
    assert.equal((await call('GetGroup', { GroupARN: group.GroupARN })).Group.GroupName, 'mills');
    assert.deepEqual((await call('GetGroups')).Groups.map((g) => g.GroupName), ['Default', 'mills']);
    const rules = (await call('GetSamplingRules')).SamplingRuleRecords.map((r) => r.SamplingRule);
    for (const ResourceARN of [group.GroupARN, rules.find((r) => r.RuleName === 'Default').RuleARN]) {
      assert.deepEqual(await call('TagResource', { ResourceARN, Tags: [{ Key: 'b', Value: '' }] }), {});
      assert.deepEqual(await call('UntagResource', { ResourceARN, TagKeys: ['a', 'none'] }), {});
      assert.deepEqual((await call('ListTagsForResource', { ResourceARN })).Tags, [{ Key: 'b', Value: '' }]);
    }
    assert.deepEqual(await call('DeleteGroup', { GroupName: 'mills' }), {});
    await refused('TagResource', { ResourceARN: group.GroupARN, Tags: [] }, 'ResourceNotFoundException', `Resource ${group.GroupARN} not found`);
  },

  async sampling() {
    const rule = {
      RuleName: 'mill', ResourceARN: '*', Priority: 7, FixedRate: 0.5, ReservoirSize: 3, ServiceName: 'mill',
      ServiceType: '*', Host: '*', HTTPMethod: 'GET', URLPath: '*', Version: 1,
    };
    const made = (await call('CreateSamplingRule', { SamplingRule: rule })).SamplingRuleRecord;
    for (const [key, value] of Object.entries(rule)) assert.equal(made.SamplingRule[key], value, key);
    const changed = (await call('UpdateSamplingRule', { SamplingRuleUpdate: { RuleName: 'mill', FixedRate: 0.25 } })).SamplingRuleRecord;
    assert.equal(changed.SamplingRule.FixedRate, 0.25);
    const targets = await call('GetSamplingTargets', {
      SamplingStatisticsDocuments: ['mill', 'none'].map((RuleName) => ({
        RuleName, ClientID: '0123456789abcdef01234567', Timestamp: new Date(), RequestCount: 3, SampledCount: 1,
      })),
    });
    assert.deepEqual(targets.SamplingTargetDocuments.map((d) => d.FixedRate), [0.25]);
    assert.deepEqual(targets.UnprocessedStatistics.map((u) => u.ErrorCode), ['400']);
    assert.ok(Array.isArray((await call('GetSamplingStatisticSummaries')).SamplingStatisticSummaries));
    assert.equal((await call('DeleteSamplingRule', { RuleName: 'mill' })).SamplingRuleRecord.SamplingRule.RuleName, 'mill');
  },

  async settings() {
    assert.deepEqual((await call('PutEncryptionConfig', { Type: 'KMS', KeyId: 'alias/mill' })).EncryptionConfig, {
      KeyId: 'arn:aws:kms:us-east-1:000000000000:alias/mill', Status: 'UPDATING', Type: 'KMS',
    });
    assert.equal((await call('GetEncryptionConfig')).EncryptionConfig.Status, 'ACTIVE');
    assert.equal((await call('UpdateTraceSegmentDestination', { Destination: 'CloudWatchLogs' })).Status, 'PENDING');
    assert.equal((await call('GetTraceSegmentDestination')).Destination, 'CloudWatchLogs');
    const updated = (await call('UpdateIndexingRule', { Name: 'Default', Rule: { Probabilistic: { DesiredSamplingPercentage: 12.5 } } })).IndexingRule;
    assert.ok(updated.ModifiedAt instanceof Date);
    assert.deepEqual((await call('GetIndexingRules')).IndexingRules.map((r) => r.Rule.Probabilistic.DesiredSamplingPercentage), [12.5]);
    await refused('UpdateIndexingRule', { Name: 'x', Rule: { Probabilistic: { DesiredSamplingPercentage: 1 } } }, 'ResourceNotFoundException');
  },

  async policies() {
    const put = (await call('PutResourcePolicy', { PolicyName: 'mill', PolicyDocument: policy, PolicyRevisionId: '0' })).ResourcePolicy;
    assert.equal(put.PolicyRevisionId, '1');
    assert.ok(put.LastUpdatedTime instanceof Date);
    assert.deepEqual((await call('ListResourcePolicies')).ResourcePolicies.map((p) => p.PolicyName), ['mill']);
    await refused('PutResourcePolicy', { PolicyName: 'mill', PolicyDocument: policy, PolicyRevisionId: '7' }, 'InvalidPolicyRevisionIdException');
    await refused('PutResourcePolicy', { PolicyName: 'mill', PolicyDocument: '{' }, 'MalformedPolicyDocumentException');
    await refused('PutResourcePolicy', { PolicyName: 'b d', PolicyDocument: '{' }, 'ValidationException');
    assert.deepEqual(await call('DeleteResourcePolicy', { PolicyName: 'mill', PolicyRevisionId: '1' }), {});
  },

  async insights() {
    assert.deepEqual((await call('GetInsightSummaries', { ...window, GroupName: 'Default', States: ['ACTIVE'] })).InsightSummaries, []);
    await refused('GetInsight', { InsightId: insight }, 'InvalidRequestException', 'Insight not found');
    await refused('GetInsightEvents', { InsightId: insight }, 'InvalidRequestException', 'Insight not found');
    await refused('GetInsightImpactGraph', { ...window, InsightId: insight }, 'InvalidRequestException', 'Insight not found');
  },

  async everyOperationWasCalled() {
    // Every class with that ending is a command but $Command, their common base.
    const commands = Object.keys(sdk).filter((name) => name.endsWith('Command') && !name.startsWith('$'));
    assert.ok(commands.length >= 38, `${commands.length} commands`);
    assert.deepEqual(commands.filter((name) => !called.has(name)), []);
  },

  async badKeysOpenNothing() {
    for (const [name, key] of Object.entries(bad)) {
      const other = connect(key.access_key_id, key.secret_access_key);
      for (const [command, input] of called) {
        await assert.rejects(other.send(new sdk[command](input)), (err) => {
          assert.deepEqual([err.name, err.$metadata.httpStatusCode], [name, 403], command);
          return true;
        });
      }
      other.destroy();
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
client.destroy();
