#!/bin/bash
# Checks a stack that is up and has the demo world.
#   usage: check.sh URL        with `docker compose` able to reach the stack, and SCENERANK_SECRETS
set -euo pipefail
url=$1; key=$(cat "$SCENERANK_SECRETS/admin_keys")
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
say() { echo "check: $*"; }
fail() { echo "check FAILED: $*" >&2; exit 1; }
get() { curl -fsS -m 20 "$@"; }
admin() { get -H "X-API-Key: $key" -H 'Content-Type: application/json' "$@"; }
search() { get -H 'Content-Type: application/json' "$url/search" -d "$1"; }
field() { python3 -c 'import json, sys; d = json.load(sys.stdin)
for part in sys.argv[1].split("."): d = d[int(part)] if part.isdigit() else d[part]
print(d)' "$1"; }
until_is() { for _ in $(seq 100); do [ "$("${@:2}")" = "$1" ] && return; sleep 0.1; done; fail "$* : not within 10 s"; }

# The demo world is there, and a part of a scene finds what it says.
search '{"text": "dog on couch", "limit": 5}' > "$dir/before"
[ "$(field total < "$dir/before")" -ge 3000 ] || fail "the demo world is not there"
say "dog on couch: $(field results.0.image_id < "$dir/before") of $(field total < "$dir/before")"

# An import over the API is found by every replica, without a reindex.
admin -X PUT "$url/images/smoke%2F1" -o /dev/null \
  -d '{"graph": {"objects": ["dog", "couch", "umbrella"], "relationships": [[0, "on", 1], [2, "on", 0]]}}'
found() { search '{"text": "umbrella on dog; dog on couch", "limit": 1}' | field results.0.image_id; }
until_is smoke/1 found
for _ in $(seq 20); do found; done | sort | uniq -c
sleep 1
for _ in $(seq 20); do [ "$(found)" = smoke/1 ] || fail "a replica does not find an image that was put"; done
say "an image that was put is found"

# A reindex while searches go on; none fails.
: > "$dir/failed"
( while [ ! -f "$dir/stop" ]; do search '{"text": "dog on couch", "limit": 5}' > /dev/null || echo failed >> "$dir/failed"; done ) &
load=$!
# Its progress and its end are asked of any replica.
job=$(admin -X POST "$url/reindex" -d '{}' | field id)
version=$(search '{"text": "dog"}' | field index_version)
for _ in $(seq 600); do state=$(admin "$url/jobs/$job" | field state); case $state in enqueued|running) sleep 0.2;; *) break;; esac; done
[ "$state" = succeeded ] || fail "the reindex ended as $state: $(admin "$url/jobs/$job")"
sleep 1
new=$(admin "$url/jobs/$job" | field index_version)
for _ in $(seq 20); do
  [ "$(search '{"text": "dog"}' | field index_version)" = "$new" ] || fail "a replica has not switched within a second"
done
say "reindexed under load: $version, then $new in every replica"

# One replica after the other is replaced; no search fails.
docker/rolling-restart.sh
touch "$dir/stop"; wait "$load"
[ ! -s "$dir/failed" ] || fail "$(wc -l < "$dir/failed") searches failed during the reindex and the rolling restart"
search '{"text": "dog on couch", "limit": 5}' > "$dir/after"
say "no search failed"

# What is not for everybody.
[ "$(curl -s -o /dev/null -w '%{http_code}' "$url/metrics")" = 404 ] || fail "/metrics is to be had from outside"
[ "$(curl -s -o /dev/null -w '%{http_code}' -X POST "$url/reindex")" = 401 ] || fail "a reindex without a key was not refused"
asset=$(get "$url/" | grep -o '/static/assets/[^"]*\.js' | head -1)
[ -n "$asset" ] && get "$url$asset" -o /dev/null || fail "there is no page"
get "$url/images/1/picture" -o /dev/null || fail "the demo world has no pictures"
api=$(docker compose ps -q api | sed -n 1p)  # head ends after a line, and compose with 255 when nobody reads the next
docker exec "$api" sh -c '[ "$(id -u)" != 0 ] && ! touch /opt/x 2>/dev/null && ! touch /data/x 2>/dev/null' || fail "the container may write"
! docker exec "$api" sh -c 'command -v gcc || command -v npm' || fail "there are build tools in the image"
! docker exec "$api" sh -c 'ls /opt/scenerank/lib/python3*/site-packages' | grep -Ei '^(nvidia|cuda|triton)' || fail "there are CUDA packages in the CPU image"
! docker exec "$api" env | grep -q "$key" || fail "the key is in the environment"
say "page, metrics, keys, rights: as they are to be"

# A backup; then everything is taken away, and comes back.
docker compose run --rm -T scenerank backup --out - > "$dir/backup.tar"
docker compose down >/dev/null 2>&1
docker compose up -d --wait --wait-timeout 180 --no-build --pull never >/dev/null 2>&1 || fail "the stack does not come up again"
same() { search '{"text": "dog on couch", "limit": 5}' | field results; }
[ "$(same)" = "$(field results < "$dir/after")" ] || fail "down and up have changed what is found"
say "down and up lose nothing"
docker compose down -v >/dev/null 2>&1
SCENERANK_DEMO=0 docker compose up -d --wait --wait-timeout 180 --no-build --pull never >/dev/null 2>&1 || fail "an empty stack does not come up"
[ "$(curl -s -o /dev/null -w '%{http_code}' "$url/readyz")" = 503 ] || fail "an empty stack says that it is ready"
docker compose run --rm -T scenerank restore - < "$dir/backup.tar"
sleep 1
[ "$(same)" = "$(field results < "$dir/after")" ] || fail "a restored stack does not find the same"
[ "$(found)" = smoke/1 ] || fail "a restored stack does not find the image that was put"
say "backup of $(du -m "$dir/backup.tar" | cut -f1) MB, restored into empty volumes: the same answers"

# An encoder is trained, and a reindex takes it by its name.
DOCKER_BUILDKIT=1 docker build -q --network host -f docker/Dockerfile --target training -t scenerank-training:latest \
  --build-arg PYTHON_IMAGE --build-arg NODE_IMAGE --build-arg PIP_FLAGS . > /dev/null
train() { SCENERANK_DATASETS=$dir docker compose run --rm -T training "$@" > "$dir/train.log" 2>&1 || fail "$(tail -5 "$dir/train.log")"; }
in=/data/checkpoints
train demo-world --out $in/world --images 300
train prepare --visual-genome $in/world --captions $in/world/captions.json --word-vectors $in/world/word_vectors.txt --min-count 5 --out $in/dataset
train train $in/dataset --out $in/mine
job=$(admin -X POST "$url/reindex" -d '{"checkpoint": "mine"}' | field id)
for _ in $(seq 600); do state=$(admin "$url/jobs/$job" | field state); case $state in enqueued|running) sleep 0.2;; *) break;; esac; done
[ "$state" = succeeded ] || fail "the reindex with a trained encoder ended as $state: $(admin "$url/jobs/$job")"
say "trained, and reindexed with what was trained"
docker image ls --format '{{.Repository}}:{{.Tag}} {{.Size}}' | grep scenerank
