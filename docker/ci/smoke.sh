#!/bin/bash
# Builds the images, starts the stack of docker-compose.yml for real, and checks it with docker/ci/check.sh.
#   usage: smoke.sh TOOL CACHE
# TOOL is a program that starts the compose file of a directory on a machine without an image registry, called as
# `TOOL PROJECT CACHE URL`; it runs $CHECK while the stack is up, restarts the stack, and keeps its engine's images in CACHE.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd); project=$(cd "$here/../.." && pwd)
tool=$1; mkdir -p "$2"; cache=$(cd "$2" && pwd)

free_port() { python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
export NGINX_IMAGE=nginx:1.28-alpine NODE_IMAGE=node:20-slim PYTHON_IMAGE=python:3.11-slim COMPOSE_PROJECT_NAME=scenerank-smoke
if [ ! -f "$cache/stand-ins/made" ]; then
  STAND_INS_PORT=$(free_port); export STAND_INS_PORT
  "$here/stand-ins.sh" "$cache/stand-ins"
  COMPOSE_PROJECT_NAME=stand-ins bash "$tool" "$cache/stand-ins" "$cache" "http://127.0.0.1:$STAND_INS_PORT/"
  touch "$cache/stand-ins/made"
fi

SCENERANK_SECRETS=$cache/secrets; SCENERANK_PORT=$(free_port)
export SCENERANK_SECRETS SCENERANK_PORT SCENERANK_DEMO=1 PIP_FLAGS="${PIP_FLAGS-}"
rm -rf "$SCENERANK_SECRETS"; "$project/docker/secrets.sh" "$SCENERANK_SECRETS"
export CHECK="docker/ci/check.sh http://127.0.0.1:$SCENERANK_PORT"
bash "$tool" "$project" "$cache" "http://127.0.0.1:$SCENERANK_PORT/readyz"
