#!/usr/bin/env bash
# Measures this build of Roentgen. See README.md beside this file.
set -euo pipefail
cd "$(dirname "$0")/../.."
what=${1:-all}
bin=$PWD/bin/roentgen
[ -x "$bin" ] || CGO_ENABLED=0 go build -o "$bin" ./cmd/roentgen
scratch=$(mktemp -d)
server= home=
cleanup() {
  for p in $server $home; do kill "$p" 2>/dev/null || true; wait "$p" 2>/dev/null || true; done
  rm -rf "$scratch"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
now_ms() { date +%s%3N; }

# start DIR FLAG...: starts a server on the folder and sets server, endpoint and took (ms to readiness).
start() {
  port=$(free_port)
  endpoint=http://127.0.0.1:$port
  local began
  began=$(now_ms)
  "$bin" serve --listen "127.0.0.1:$port" --data-dir "$1" "${@:2}" >"$scratch/log" 2>&1 &
  server=$!
  until curl -fs -o /dev/null "$endpoint/-/ready"; do
    kill -0 "$server" 2>/dev/null || { cat "$scratch/log" >&2; exit 1; }
    sleep 0.002
  done
  took=$(($(now_ms) - began))
}
stop() { kill "$server"; wait "$server" || true; server=; }
resident() { awk '/^VmRSS/ { printf "%.1f MB", $2 * 1024 / 1e6 }' "/proc/$server/status"; }

about() {
  echo "Measured $(date -u +%Y-%m-%d) on commit $(git rev-parse --short HEAD), $(nproc) cores of $(awk -F': ' '/model name/ { print $2; exit }' /proc/cpuinfo), $(awk '/MemTotal/ { printf "%.0f GB", $2 / 1e6 }' /proc/meminfo), Linux $(uname -r | cut -d- -f1), $(go version | cut -d' ' -f3)."
  echo
}

ingest() { "$bin" bench suite --scratch "$scratch" "$@"; }

read_traces() {
  local n=$1 dir=$scratch/read
  start "$dir"
  echo "loading $n documents of 1 KB ..." >&2
  "$bin" bench ingest --endpoint "$endpoint" --documents "$n" --size 1000 --batch 500 --clients 4 --ids "$scratch/ids" --pid "$server" | sed 's/^/- load: /'
  for clients in 1 8; do
    "$bin" bench read --endpoint "$endpoint" --ids "$scratch/ids" --reads 20000 --clients "$clients" | sed "s/^/- $n documents, $clients clients: /"
  done
  echo "- resident memory after: $(resident)"
  stop
  echo "- data folder: $(du -sm "$dir" | cut -f1) MB"
  start "$dir"
  echo "- start-up on $n documents: $took ms to /-/ready"
  "$bin" bench read --endpoint "$endpoint" --ids "$scratch/ids" --reads 20000 --clients 1 | sed "s/^/- $n documents, after a restart, 1 client: /"
  stop
  rm -rf "$dir"
}

# search N: N documents of now, N/10 more as history of 30 days, and questions: at
# rest, and while documents come at half the speed of the load.
search() {
  local n=$1 dir=$scratch/search load rate
  start "$dir"
  echo "importing $((n / 10)) documents as history of 30 days, then loading $n documents of 1 KB ..." >&2
  "$bin" bench ingest --endpoint "$endpoint" --documents "$((n / 10))" --spread 720h --rare --batch 500 --clients 4 --pid "$server" | sed 's/^/- history: /'
  load=$("$bin" bench ingest --endpoint "$endpoint" --documents "$n" --rare --batch 500 --clients 4 --ids "$scratch/ids" --pid "$server" --json)
  rate=$(python3 -c 'import json, sys; print(int(json.loads(sys.argv[1])["documents_per_second"] / 2))' "$load")
  echo "- load: $load"
  echo; echo "At rest, the window of the searches being 24 hours:"; echo
  "$bin" bench search --endpoint "$endpoint" --window 24h --times 30
  echo
  for clients in 1 8; do
    "$bin" bench read --endpoint "$endpoint" --ids "$scratch/ids" --reads 20000 --clients "$clients" | sed "s/^/- traces by id, $clients clients: /"
  done
  echo; echo "While $rate documents/s are sent:"; echo
  "$bin" bench ingest --endpoint "$endpoint" --rate "$rate" --batch 50 --clients 8 --duration 20s >"$scratch/alone"
  "$bin" bench ingest --endpoint "$endpoint" --rate "$rate" --batch 50 --clients 8 --duration "${2:-60s}" --pid "$server" >"$scratch/beside" &
  local loader=$!
  "$bin" bench search --endpoint "$endpoint" --window 24h --times 20
  wait "$loader"
  echo; sed 's/^/- sent at that rate alone: /' "$scratch/alone"; sed 's/^/- sent beside the questions: /' "$scratch/beside"
  echo "- resident memory after: $(resident); data folder: $(du -sm "$dir" | cut -f1) MB"
  stop
  start "$dir"
  echo "- start-up: $took ms to /-/ready"
  stop
  rm -rf "$dir"
}

# index N: N small documents of now, so that the indexes are as large as they get on a disk that is not, and questions.
index() {
  local n=$1 dir=$scratch/index
  start "$dir"
  echo "loading $n documents of 0.3 KB ..." >&2
  "$bin" bench ingest --endpoint "$endpoint" --documents "$n" --size 300 --rare --batch 500 --clients 4 --ids "$scratch/ids" --pid "$server" | sed 's/^/- load: /'
  echo "- data folder: $(du -sm "$dir" | cut -f1) MB; resident memory: $(resident)"
  echo; "$bin" bench search --endpoint "$endpoint" --window 24h --times 10; echo
  "$bin" bench read --endpoint "$endpoint" --ids "$scratch/ids" --reads 20000 --clients 1 | sed "s/^/- traces by id: /"
  echo "- peak memory: $(awk '/^VmHWM/ { printf "%.0f MB", $2 * 1024 / 1e6 }' "/proc/$server/status")"
  stop
  start "$dir"
  echo "- start-up: $took ms to /-/ready"
  stop
  rm -rf "$dir"
}

# spans N: spans in batches of 500 and of 5,000, on a folder of their own each, what they take on the
# disk, by kind, traces by id, searches, and what is left of acknowledged spans after kill -9.
spans() {
  local n=$1 dir=$scratch/spans batch
  for batch in 500 5000; do
    start "$dir"
    echo "loading $n spans of 257 bytes in batches of $batch ..." >&2
    "$bin" bench ingest --endpoint "$endpoint" --otlp --size 257 --documents "$n" --batch "$batch" --clients 4 --ids "$scratch/ids" --pid "$server" | sed "s/^/- batches of $batch: /"
    if [ "$batch" = 500 ]; then
      for clients in 1 8; do
        "$bin" bench read --endpoint "$endpoint" --ids "$scratch/ids" --reads 20000 --clients "$clients" | sed "s/^/- traces by id, $clients clients: /"
      done
      echo; "$bin" bench search --endpoint "$endpoint" --window 24h --times 30; echo
    fi
    stop
    "$bin" bench disk "$dir" | sed 's/^/    /'
    rm -rf "$dir"
  done
  for i in 1 2 3; do
    start "$dir"
    "$bin" bench ingest --endpoint "$endpoint" --otlp --size 257 --documents 10000 --batch 500 --clients 4 --ids "$scratch/ids" --keep-ids 1000000 >/dev/null
    sleep 1
    kill -9 "$server"; wait "$server" || true
    start "$dir"
    ids=$(wc -l <"$scratch/ids")
    kept=$(while read -r id; do curl -fs "$endpoint/api/traces/$id?format=otlp"; done <"$scratch/ids" | grep -o '"spanId"' | wc -l)
    echo "- killed (-9) a second after the last acknowledgement, run $i: $kept spans kept of 10,000 in $ids traces"
    stop
    rm -rf "$dir"
  done
}

# forward RATE: what it costs a server to pass on everything that it takes, and an agent to deliver as
# OpenTelemetry spans, at so many documents a second. They go to a second server on the same cores.
forward() {
  local rate=${1:-8000} dir=$scratch/forward to way at
  for way in server agent; do
    for to in nowhere roentgen otlp-http grpc; do
      start "$dir/home" --otlp-grpc 127.0.0.1:24317 --otlp-http 127.0.0.1:24318
      home=$server
      case $to in
        roentgen) at=$endpoint ;;
        otlp-http) at=otlp:http://127.0.0.1:24318 ;;
        grpc) at=grpc://127.0.0.1:24317 ;;
        nowhere) at= ;;
      esac
      if [ $way = server ]; then
        start "$dir/server" --otlp-grpc off --otlp-http off ${at:+--forward "$at"}
        "$bin" bench ingest --endpoint "$endpoint" --rate "$rate" --duration ${2:-20s} --pid "$server" | sed "s/^/- server, to $to: /"
      elif [ -n "$at" ]; then
        start_agent "$dir/spool" --to "$at"
        "$bin" bench ingest --endpoint "$endpoint" --udp --size 600 --rate "$rate" --clients 2 --duration ${2:-20s} --pid "$server" | sed "s/^/- agent, to $to: /"
      else
        server=$home
      fi
      if [ -n "$at" ]; then
        curl -fs "$endpoint$([ $way = server ] && echo /-/forward || echo /status?format=json)" | python3 -c '
import json, sys
for d in json.load(sys.stdin)["destinations"]:
    print("- %s: sent %d, waiting %d, lost %d, refused %d, %d calls, lag %.2f s" % (d["endpoint"], d["sent"], d["waiting"], d["lost"], d["refused"], d["calls"], d["lag_seconds"]))'
      fi
      [ "$server" = "$home" ] || stop
      server=$home; stop
      home=
      rm -rf "$dir"
    done
  done
}

# start_agent DIR FLAG...: starts an agent with its spool in the folder.
start_agent() {
  port=$(free_port)
  endpoint=http://127.0.0.1:$port
  "$bin" agent --bind "127.0.0.1:$port" --bind-tcp "127.0.0.1:$port" --local-mode --spool-dir "$1" "${@:2}" >"$scratch/log" 2>&1 &
  server=$!
  until curl -fs -o /dev/null "$endpoint/-/ready"; do
    kill -0 "$server" 2>/dev/null || { cat "$scratch/log" >&2; exit 1; }
    sleep 0.01
  done
}

start_up() {
  for i in 1 2 3 4 5; do
    rm -rf "$scratch/empty"
    start "$scratch/empty"
    sleep 2
    echo "- empty folder, run $i: ready after $took ms (with the polling client's own start), $(resident) resident 2 s later"
    stop
  done
}

# agent: the agent in front of a stand-in for the API; the X-Ray daemon beside it when $XRAY_DAEMON names its binary.
agent() {
  echo "roentgen agent, to an API that checks nothing (calls are signed):"; echo
  "$bin" bench agent --scratch "$scratch" "$@"
  echo; echo "The same, to a Roentgen server's API (unsigned, larger calls):"; echo
  "$bin" bench agent --scratch "$scratch" --type roentgen --only 'API 0s' "$@"
  if [ -n "${XRAY_DAEMON:-}" ]; then
    echo; echo "The X-Ray daemon:"; echo
    "$bin" bench agent --scratch "$scratch" --daemon "$XRAY_DAEMON" "$@"
  fi
}

about
case $what in
  quick) ingest --duration 5s --sink 2s --only 'batches of 50, 8 clients' ;;
  ingest) ingest "${@:2}" ;;
  read) read_traces "${2:-1000000}" ;;
  search) search "${2:-1000000}" "${3:-60s}" ;;
  spans) spans "${2:-1000000}" ;;
  index) index "${2:-10000000}" ;;
  start) start_up ;;
  agent) agent "${@:2}" ;;
  forward) forward "${@:2}" ;;
  all) ingest; echo; read_traces 1000000; echo; start_up ;;
  *) echo "usage: $0 [quick|ingest|read N|search N|spans N|index N|start|agent|forward RATE|all]" >&2; exit 2 ;;
esac
