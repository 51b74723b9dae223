'use strict';

// A program as its users write them, instrumented with the AWS X-Ray SDK for
// Node. It does one thing after the other, each a scenario with a trace of its
// own, and prints a line of JSON for each: {"scenario":"nested","trace_id":"1-..."}.
// The SDK is unmodified and finds the daemon as it does everywhere:
// AWS_XRAY_DAEMON_ADDRESS, else 127.0.0.1:2000.
//
//   node sdk.js SCENARIO...
//   node sdk.js sampling NAME
//
// The second form answers requests as the service it is given, over and over, until
// its standard input ends.
//
// STUB names the server that answers its outgoing calls. SAMPLE_ALL=1 replaces
// the SDK's sampling, one trace a second, by a local rule that takes all.

const http = require('node:http');
const net = require('node:net');

const AWSXRay = require('aws-xray-sdk-core');
const xrayExpress = require('aws-xray-sdk-express');
const capturePostgres = require('aws-xray-sdk-postgres');
const express = require('express');
const {
  DynamoDBClient, GetItemCommand, ProvisionedThroughputExceededException,
} = require('@aws-sdk/client-dynamodb');

const pretendPostgres = require('./postgres');

AWSXRay.captureHTTPsGlobal(http, true);
const { Client } = capturePostgres(require('pg'));

if (process.env.SAMPLE_ALL === '1') {
  AWSXRay.middleware.disableCentralizedSampling();
  AWSXRay.middleware.setSamplingRules({
    version: 2, default: { fixed_target: 1000, rate: 1 }, rules: [],
  });
}

const STUB = process.env.STUB;

// sub runs work inside a subsegment and returns what it returns.
function sub(name, work) {
  return AWSXRay.captureAsyncFunc(name, async (subsegment) => {
    try {
      const result = await work(subsegment);
      subsegment.close();
      return result;
    } catch (err) {
      subsegment.close(err);
      throw err;
    }
  });
}

// get calls a URL and reads the answer to its end; it resolves to the status.
function get(url) {
  return new Promise((resolve, reject) => {
    const request = http.get(url, { agent: false }, (response) => {
      response.resume();
      response.on('end', () => resolve(response.statusCode));
    });
    request.on('error', reject);
  });
}

const scenarios = {
  // Three levels of local work, the innermost beside a sibling.
  async nested(segment) {
    segment.setUser('mara');
    await sub('validate', () => sub('load basket', async () => {
      await sub('price', () => new Promise((resolve) => { setTimeout(resolve, 2); }));
      await sub('discount', async () => {});
    }));
  },

  // An annotation of each type, and metadata of many shapes.
  async values(segment) {
    const annotations = {
      tier: 'gold', empty: '', items: 3, negative: -7, big: 9007199254740991,
      total: 129.95, tiny: 1e-9, gift: true, express: false, word: 'Größe ✓',
    };
    for (const [key, value] of Object.entries(annotations)) segment.addAnnotation(key, value);
    segment.addMetadata('basket', {
      lines: [{ sku: 'A-1', n: 2 }, { sku: 'B-7', n: 1 }],
      note: null,
      quote: 'say "hi" <b>&',
      tab: 'a\tb\n',
    });
    segment.addMetadata('steps', ['open', 'pay', 'ship'], 'audit');
    await sub('inner', async (s) => s.addAnnotation('inner_only', 'yes'));
  },

  // An error that travels up through two subsegments.
  async exception() {
    class StockError extends Error {
      constructor(sku) {
        super(`out of stock: ${sku}`);
        this.name = 'StockError';
      }
    }
    try {
      await sub('reserve', () => sub('warehouse', async () => { throw new StockError('A-1'); }));
    } catch (err) {
      if (!(err instanceof StockError)) throw err;
    }
  },

  // Each of the three flags, set by hand.
  async flags() {
    await sub('error', async (s) => s.addErrorFlag());
    await sub('throttle', async (s) => { s.addErrorFlag(); s.addThrottleFlag(); });
    await sub('fault', async (s) => s.addFaultFlag());
    await sub('none', async () => {});
  },

  // Calls the stub for several statuses, and an address where nobody listens.
  async 'http-client'() {
    for (const status of [200, 404, 429, 500]) await get(`${STUB}/status/${status}?q=1`);
    const closed = net.createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => { closed.on('listening', resolve); });
    const { port } = closed.address();
    await new Promise((resolve) => { closed.close(resolve); });
    await get(`http://127.0.0.1:${port}/refused`).then(
      () => { throw new Error('a call to a closed port succeeded'); },
      () => {},
    );
  },

  // Calls an Express service of its own over a traced client: two services, one trace.
  async 'http-server'() {
    const app = express();
    app.use(xrayExpress.openSegment('stock'));
    app.get('/stock/:sku', (request, response) => {
      if (request.params.sku === 'broken') {
        response.status(503).send('broken');
        return;
      }
      AWSXRay.captureFunc('count', () => response.json({ sku: request.params.sku, left: 4 }));
    });
    app.use(xrayExpress.closeSegment());
    const server = app.listen(0, '127.0.0.1');
    await new Promise((resolve) => { server.on('listening', resolve); });
    for (const sku of ['A-1', 'broken']) {
      await get(`http://127.0.0.1:${server.address().port}/stock/${sku}`);
    }
    await new Promise((resolve) => { server.close(resolve); });
  },

  // A query and one that fails, through the SDK's wrapper of pg, over a server
  // that only pretends.
  async sql() {
    const server = await pretendPostgres();
    const client = new Client({
      host: '127.0.0.1', port: server.address().port, user: 'shop', database: 'orders',
    });
    await client.connect();
    // The callback form: of a promise that fails the SDK never ends the subsegment.
    const query = (text) => new Promise((resolve, reject) => {
      client.query(text, (err, result) => (err ? reject(err) : resolve(result)));
    });
    await query('SELECT count(*) FROM orders');
    await query('SELECT * FROM nowhere').then(
      () => { throw new Error('the failing query succeeded'); },
      () => {},
    );
    await client.end();
    await new Promise((resolve) => { server.close(resolve); });
  },

  // The AWS SDK against the stub: a call that works and one that is throttled.
  async aws() {
    const client = AWSXRay.captureAWSv3Client(new DynamoDBClient({
      region: 'eu-west-1',
      endpoint: STUB,
      credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
      maxAttempts: 1,
    }));
    await client.send(new GetItemCommand({ TableName: 'orders', Key: { id: { S: '1' } } }));
    await client.send(new GetItemCommand({ TableName: 'busy', Key: { id: { S: '1' } } })).then(
      () => { throw new Error('the busy table answered'); },
      (err) => {
        if (!(err instanceof ProvisionedThroughputExceededException)) throw err;
      },
    );
    client.destroy();
  },

  // More open subsegments than the SDK keeps: it sends ended ones before their
  // parents end.
  async streaming() {
    await sub('batch', async (batch) => {
      const rows = [];
      for (let i = 0; i < 130; i += 1) {
        const row = batch.addNewSubsegment(`row ${String(i).padStart(3, '0')}`);
        row.addAnnotation('row', i);
        rows.push(row);
        if (i === 90) rows.splice(0, 20).forEach((done) => done.close());
      }
      for (const row of rows) {
        row.addNewSubsegment('check').close();
        row.close();
      }
    });
  },

  // Sends a subsegment while it is open, in progress, before it ends.
  async 'in-progress'(segment) {
    const open = segment.addNewSubsegment('slow step');
    open.addAnnotation('state', 'half way');
    open.streamSubsegments();
    segment.flush();
    open.addAnnotation('state', 'done');
    open.close();
  },
};

// lambda does what the SDK does inside AWS Lambda, where the platform owns the
// segment: the SDK makes a facade of it by itself when it is loaded.
async function lambda() {
  const facade = AWSXRay.getSegment();
  facade.resolveLambdaTraceData();
  await sub('handler', async (s) => {
    s.addAnnotation('cold', true);
    await sub('inner', async () => {});
  });
  return facade.trace_id;
}

// ruled waits until the SDK's middleware samples by the rules that it fetched
// from the server, and returns the first trace that it took for one of them.
async function ruled() {
  const app = express();
  app.use(xrayExpress.openSegment('orders-ruled'));
  app.get('/', (request, response) => {
    const { trace_id: id, notTraced, aws } = AWSXRay.getSegment();
    response.json({ id, ruled: !notTraced && Boolean(aws.xray.rule_name) });
  });
  app.use(xrayExpress.closeSegment());
  const server = app.listen(0, '127.0.0.1');
  await new Promise((resolve) => { server.on('listening', resolve); });
  try {
    for (let i = 0; i < 20; i += 1) {
      // fetch is not instrumented here, so that the middleware decides itself.
      const answer = await (await fetch(`http://127.0.0.1:${server.address().port}/`)).json();
      if (answer.ruled) return answer.id;
      await new Promise((resolve) => { setTimeout(resolve, 500); });
    }
  } finally {
    server.close();
    server.closeAllConnections();
  }
  throw new Error('ruled: the SDK took no trace for a rule of the server');
}

// sampling asks a service for the same page; the SDK's middleware, whose service
// name holds for the whole process, decides which requests are traced.
async function sampling(name) {
  process.stdin.on('end', () => process.exit(0)).resume();
  const app = express();
  app.use(xrayExpress.openSegment(name));
  app.get('/', (request, response) => { response.end('ok'); });
  app.use(xrayExpress.closeSegment());
  const server = app.listen(0, '127.0.0.1');
  await new Promise((resolve) => { server.on('listening', resolve); });
  for (;;) {
    await (await fetch(`http://127.0.0.1:${server.address().port}/`)).text();
    await new Promise((resolve) => { setTimeout(resolve, 40); });
  }
}

async function scenario(name) {
  const segment = new AWSXRay.Segment(`orders-${name}`);
  AWSXRay.setSegment(segment);
  const id = segment.trace_id;
  await scenarios[name](segment);
  if (!segment.isClosed()) segment.close();
  return id;
}

async function main(names) {
  if (names[0] === 'sampling') {
    await sampling(names[1]);
  }
  const namespace = AWSXRay.getNamespace();
  const apart = { lambda, ruled };
  for (const name of names) {
    const id = await namespace.runPromise(apart[name] ?? (() => scenario(name)));
    process.stdout.write(`${JSON.stringify({ scenario: name, trace_id: id })}\n`);
  }
  // The SDK sends without waiting; the socket is given a moment, as in any
  // program that goes on living.
  setTimeout(() => process.exit(0), 200);
}

main(process.argv.slice(2)).catch((err) => {
  process.stderr.write(`sdk.js: ${err.stack}\n`);
  process.exit(1);
});
