#!/bin/bash
# Writes into DIRECTORY a compose project that builds stand-ins for nginx and Node out of Debian's packages, for a machine that
# reaches no image registry but has an image python:3.11-slim: that of Debian's slim Python is all that both need.
#   usage: stand-ins.sh DIRECTORY
set -euo pipefail
mkdir -p "$1/node"; cd "$1"

# Node as this machine has it; Debian 12's own is too old for the page's tools.
node=$(readlink -f "$(command -v node)"); npm=$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")")
rm -rf node/*; cp "$node" node/node; cp -r "$npm" node/npm
cat > node/Dockerfile <<'END'
FROM python:3.11-slim
COPY node /usr/local/bin/node
COPY npm /usr/local/lib/node_modules/npm
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm && npm --version
ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
CMD ["node", "-e", "setInterval(() => {}, 1000); process.on('SIGTERM', process.exit)"]
END
cat > nginx.Dockerfile <<'END'
FROM python:3.11-slim
RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nginx-light >/dev/null \
 && rm -rf /var/lib/apt/lists/*
STOPSIGNAL SIGQUIT
CMD ["nginx", "-g", "daemon off;"]
END
# node/ is a context of its own, so that nginx is not built anew when Node is another.
cat > docker-compose.yml <<'END'
services:
  nginx:
    build: {context: ., dockerfile: nginx.Dockerfile}
    image: ${NGINX_IMAGE}
    ports: ["127.0.0.1:${STAND_INS_PORT}:80"]
  node:
    build: node
    image: ${NODE_IMAGE}
END
printf 'node\n' > .dockerignore
