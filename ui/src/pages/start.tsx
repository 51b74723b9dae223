// How to send a first trace, for each kind of program, with this server's address filled in.
// When something arrives the page says so by itself.

import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { get, type TraceSummaries, type TraceSummary } from '../lib/api'
import { ago } from '../lib/format'
import { change, href, param } from '../lib/place'
import { server } from '../lib/server'
import { follow } from '../lib/session'
import { Check, Copy } from '../ui/icons'
import { copy } from '../ui/parts'

interface Way {
  id: string
  title: string
  note: string
  code: string
  language: string
}

function ways(): Way[] {
  const http = server.url
  const udp = server.udp || new URL(http).host
  const bearer = server.keys ? `\\\n  -H 'Authorization: Bearer ID.SECRET' \\\n  ` : ''
  const standard = udp === '127.0.0.1:2000'
  const sdk = (install: string, rest: string) => `${standard ? '' : `export AWS_XRAY_DAEMON_ADDRESS=${udp}\n\n`}${install}\n\n${rest}`
  return [
    {
      id: 'curl',
      title: 'curl',
      language: 'shell',
      note: 'One trace by hand, to see that it works.',
      code: `now=$(date +%s)
hex() { od -An -N$1 -tx1 /dev/urandom | tr -d ' \\n'; }

curl -s ${http}/TraceSegments ${bearer}-d @- <<END
{"TraceSegmentDocuments": ["{ \\
\\"trace_id\\": \\"1-$(printf %08x $now)-$(hex 12)\\", \\
\\"id\\": \\"$(hex 8)\\", \\
\\"name\\": \\"hello\\", \\
\\"start_time\\": $now, \\
\\"end_time\\": $now.5 }"]}
END`,
    },
    {
      id: 'otel',
      title: 'OpenTelemetry',
      language: 'shell',
      note: 'Any OpenTelemetry SDK or collector: spans and X-Ray segments meet in one trace.',
      code: `export OTEL_EXPORTER_OTLP_ENDPOINT=${http}\nexport OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf${server.keys ? "\nexport OTEL_EXPORTER_OTLP_HEADERS='Authorization=Bearer ID.SECRET'" : ''}\nexport OTEL_SERVICE_NAME=my-service\n\n# in a collector's configuration\nexporters:\n  otlphttp:\n    endpoint: ${http}`,
    },
    {
      id: 'demo',
      title: 'Demo',
      language: 'shell',
      note: 'A shop of thirteen services that sends traces for as long as it runs, with a server of its own.',
      code: 'roentgen demo --listen 127.0.0.1:2100',
    },
    {
      id: 'node',
      title: 'Node.js',
      language: 'js',
      note: standard ? 'The X-Ray SDK sends here without any setting.' : 'The X-Ray SDK is told by an environment variable.',
      code: sdk('npm install aws-xray-sdk-core aws-xray-sdk-express', `const xray = require('aws-xray-sdk-core')\nconst express = require('express')\nconst app = express()\napp.use(require('aws-xray-sdk-express').openSegment('my-service'))\nxray.captureHTTPsGlobal(require('http'))\napp.get('/', (req, res) => res.send('hello'))\napp.use(require('aws-xray-sdk-express').closeSegment())\napp.listen(3000)`),
    },
    {
      id: 'python',
      title: 'Python',
      language: 'python',
      note: standard ? 'The X-Ray SDK sends here without any setting.' : 'The X-Ray SDK is told by an environment variable.',
      code: sdk('pip install aws-xray-sdk', `from aws_xray_sdk.core import xray_recorder, patch_all\npatch_all()\nxray_recorder.configure(service='my-service', sampling=False)\n\nwith xray_recorder.in_segment('my-service') as segment:\n    segment.put_annotation('plan', 'team')\n    with xray_recorder.in_subsegment('work'):\n        pass`),
    },
    {
      id: 'java',
      title: 'Java',
      language: 'java',
      note: 'The X-Ray SDK for Java, without a framework.',
      code: sdk('// com.amazonaws:aws-xray-recorder-sdk-core', `try (Segment segment = AWSXRay.beginSegment("my-service")) {\n    segment.putAnnotation("plan", "team");\n    AWSXRay.createSubsegment("work", () -> work());\n}`),
    },
    {
      id: 'go',
      title: 'Go',
      language: 'go',
      note: 'The X-Ray SDK for Go.',
      code: sdk('go get github.com/aws/aws-xray-sdk-go/v2/xray', `ctx, seg := xray.BeginSegment(context.Background(), "my-service")\nxray.AddAnnotation(ctx, "plan", "team")\nxray.Capture(ctx, "work", func(ctx context.Context) error { return nil })\nseg.Close(nil)`),
    },
    {
      id: 'dotnet',
      title: '.NET',
      language: 'csharp',
      note: 'The X-Ray SDK for .NET.',
      code: sdk('dotnet add package AWSXRayRecorder', `AWSXRayRecorder.Instance.BeginSegment("my-service");\nAWSXRayRecorder.Instance.AddAnnotation("plan", "team");\nAWSXRayRecorder.Instance.EndSegment();`),
    },
    {
      id: 'ruby',
      title: 'Ruby',
      language: 'ruby',
      note: 'The X-Ray SDK for Ruby.',
      code: sdk('gem install aws-xray-sdk', `require 'aws-xray-sdk'\nXRay.recorder.configure(name: 'my-service')\nXRay.recorder.capture('work') { |subsegment| subsegment.annotations[:plan] = 'team' }`),
    },
    {
      id: 'aws',
      title: 'AWS CLI, boto3',
      language: 'shell',
      note: server.keys ? 'Anything that speaks the X-Ray API, with a key of this server.' : 'Anything that speaks the X-Ray API. Any keys will do.',
      code: `export AWS_ENDPOINT_URL_XRAY=${http}\nexport AWS_REGION=${server.region} AWS_DEFAULT_REGION=${server.region}\n${server.keys ? 'export AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=...' : 'export AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any'}\n\naws xray get-trace-summaries \\\n  --start-time $(date -d '-10 minutes' +%s) \\\n  --end-time $(date +%s)`,
    },
  ]
}

export function Ways() {
  const list = ways()
  const chosen = list.find((w) => w.id === param('with').value) ?? list[0]!
  return (
    <div class="ways card">
      <div class="ways-tabs" role="tablist" aria-label="What sends">
        {list.map((w) => (
          <button
            key={w.id}
            role="tab"
            id={`way-${w.id}`}
            aria-selected={w === chosen}
            aria-controls="way-panel"
            tabIndex={w === chosen ? 0 : -1}
            onClick={() => change({ with: w.id === list[0]!.id ? null : w.id }, { replace: true })}
            onKeyDown={(e) => {
              const by = e.key === 'ArrowRight' || e.key === 'ArrowDown' ? 1 : e.key === 'ArrowLeft' || e.key === 'ArrowUp' ? -1 : 0
              if (!by) return
              e.preventDefault()
              e.stopPropagation()
              const next = list[(list.indexOf(chosen) + by + list.length) % list.length]!
              change({ with: next.id }, { replace: true })
              requestAnimationFrame(() => document.getElementById(`way-${next.id}`)?.focus())
            }}
          >
            {w.title}
          </button>
        ))}
      </div>
      <div class="way" role="tabpanel" id="way-panel" aria-labelledby={`way-${chosen.id}`}>
        <p class="muted">{chosen.note}</p>
        <div class="way-code">
          <button class="button" onClick={() => copy(chosen.code, 'Copied')}>
            <Copy /> Copy
          </button>
          <pre class="code" tabIndex={0}>
            {chosen.code}
          </pre>
        </div>
      </div>
    </div>
  )
}

export function StartPage() {
  const seen = useSignal<TraceSummary[]>([])
  const since = useSignal(Date.now() / 1000)
  const connected = useSignal(false)
  useEffect(() => {
    document.title = 'Send traces · Roentgen'
    get<TraceSummaries>('api/traces', { start: Date.now() / 1000 - 86_400, end: Date.now() / 1000 + 60, limit: 3 }).then(
      (t) => (seen.value = seen.value.length > 0 ? seen.value : t.TraceSummaries),
      () => {},
    )
    const source = follow('api/tail?orphans=true', {
      open: () => (connected.value = true),
      lost: () => (connected.value = false),
      message: (data) => {
        const s = JSON.parse(data) as TraceSummary & { Missed?: number }
        if (s.Id) {
          seen.value = [s, ...seen.value.filter((x) => x.Id !== s.Id)].slice(0, 5)
          since.value = Date.now() / 1000
        }
      },
    })
    return () => source.close()
  }, [])
  const some = seen.value.length > 0
  return (
    <div class="page" data-scroll>
      <div class="start">
        <h1>{some ? 'Traces are arriving' : 'Waiting for the first trace'}</h1>
        <p class="muted start-lead">
          {server.udp ? (
            <>
              X-Ray SDKs send to <code>{server.udp}</code> over UDP{server.udp === '127.0.0.1:2000' && ', which is where they send anyway'}. Everything else speaks HTTP at <code>{server.url}</code>.
            </>
          ) : (
            <>
              This server takes traces over HTTP at <code>{server.url}</code>.
            </>
          )}
        </p>
        <div class={`arrivals card ${some ? 'some' : ''}`} aria-live="polite">
          {some ? (
            <>
              <div class="row">
                <span class="icon text-ok">
                  <Check />
                </span>
                <b class="grow">{connected.value ? 'They show up here as they come' : 'Stored here'}</b>
                <a class="button primary" href={href('traces', { live: true })}>
                  Watch them
                </a>
                <a class="button" href={href('map')}>
                  See the map
                </a>
              </div>
              <ul>
                {seen.value.map((s) => (
                  <li key={s.Id}>
                    <a href={href(`trace/${s.Id}`)}>
                      <bdi>{s.EntryPoint?.Name ?? s.ServiceIds[0]?.Name ?? s.Id}</bdi>
                    </a>{' '}
                    <span class="muted">
                      <bdi>
                        {s.Http.HttpMethod} {s.Http.HttpURL}
                      </bdi>
                    </span>
                    <span class="faint num">{s.StartTime ? ago(Date.now() / 1000 - s.StartTime) : ''}</span>
                  </li>
                ))}
              </ul>
            </>
          ) : (
            <div class="row">
              <span class="pulse" />
              <span class="muted">{connected.value ? 'Listening. This page changes by itself when something arrives.' : 'Connecting to the server…'}</span>
            </div>
          )}
        </div>
        <h2 class="start-head">Send one</h2>
        <Ways />
        <h2 class="start-head">Nothing arrives?</h2>
        <ul class="start-list muted">
          <li>
            Documents that were refused, with the reason and the remedy, are among the <a href={href('dead-letters')}>dead letters</a>.
          </li>
          <li>
            A program on another machine or in a container has to be told where this is: <code>AWS_XRAY_DAEMON_ADDRESS={server.udp || 'HOST:2000'}</code>, and the server has to listen on an address that can be reached.
          </li>
          <li>SDKs sample: one request a second and five in a hundred of the rest, unless told otherwise.</li>
        </ul>
      </div>
    </div>
  )
}
