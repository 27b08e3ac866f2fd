/** /docs: Swagger UI from its package, so that it is drawn without the internet. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Plugin } from "vite";

const page = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <title>SceneRank: every call</title>
    <link rel="icon" href="/static/docs/favicon-32x32.png" />
    <link rel="stylesheet" href="/static/docs/swagger-ui.css" />
    <script src="/static/docs/swagger-ui-bundle.js" defer></script>
    <script src="/static/docs/start.js" defer></script>
  </head>
  <body>
    <div id="docs"><p><a href="/openapi.json">openapi.json</a> holds all of it, for programs.</p></div>
  </body>
</html>
`;
const start = 'SwaggerUIBundle({ url: "/openapi.json", dom_id: "#docs", deepLinking: true, validatorUrl: null });\n';

const FILES = [
  "swagger-ui-bundle.js",
  "swagger-ui-bundle.js.LICENSE.txt",
  "swagger-ui.css",
  "favicon-32x32.png",
  "LICENSE",
  "NOTICE",
];

/** Puts docs/ beside the page. */
export function docs(): Plugin {
  const require = createRequire(import.meta.url);
  return {
    name: "docs",
    apply: "build",
    generateBundle() {
      const emit = (name: string, source: string | Uint8Array) =>
        this.emitFile({ type: "asset", fileName: `docs/${name}`, source });
      for (const name of FILES) {
        emit(name, readFileSync(require.resolve(`swagger-ui-dist/${name}`)));
      }
      emit("index.html", page);
      emit("start.js", start);
    },
  };
}
