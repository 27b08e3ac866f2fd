#!/bin/bash
# Replaces the API's replicas by new ones of the image and the settings that there are now; some of each answer meanwhile, and no
# request is refused. Options are those of `docker compose`:
#   docker/rolling-restart.sh [-f docker-compose.yml -f docker/compose.gpu.yml]
set -euo pipefail
options=("$@")
mapfile -t old < <(docker compose "${options[@]}" ps -q api)
count=${#old[@]}
[ "$count" -gt 0 ] || { echo "No replica of api is running; docker compose up --wait starts the stack." >&2; exit 1; }
docker compose "${options[@]}" up -d --no-deps --no-recreate --no-build --wait --wait-timeout 300 --scale "api=$((2 * count))" api
sleep 2  # nginx looks once a second which replicas there are
for container in "${old[@]}"; do
  docker stop --time 30 "$container" >/dev/null  # the drain and the end of what is under way
  docker rm "$container" >/dev/null
done
echo "$count replicas of api were replaced."
