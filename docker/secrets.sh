#!/bin/sh
# Makes the secrets of the stack once, each a file in DIRECTORY (default: secrets), and names DIRECTORY in .env.
#   usage: docker/secrets.sh [DIRECTORY]
# What is there already stays. The files can be read by everybody, because users of containers have other numbers than those
# outside; the directory can be entered by its owner alone.
set -eu
cd "$(dirname "$0")/.."
directory=${1:-secrets}
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
mkdir -p "$directory"; chmod 700 "$directory"
for name in admin_keys postgres_password grafana_password minio_password; do
  [ -s "$directory/$name" ] || random > "$directory/$name"
done
[ -s "$directory/database_url" ] ||
  printf 'postgresql://scenerank:%s@postgres/scenerank' "$(cat "$directory/postgres_password")" > "$directory/database_url"
chmod 644 "$directory"/*
if [ $# = 0 ] && ! grep -qs '^SCENERANK_SECRETS=' .env; then echo 'SCENERANK_SECRETS=./secrets' >> .env; fi
echo "The admin key is in $directory/admin_keys."
