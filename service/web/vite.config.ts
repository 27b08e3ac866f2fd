import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";
import { docs } from "./plugins/docs.ts";
import { gzip } from "./plugins/gzip.ts";

// Where `npm run dev` finds the service; a built page is served by the service itself.
const service = process.env["SCENERANK_URL"] ?? "http://127.0.0.1:8000";
const calls = ["/search", "/vocabulary", "/images", "/index", "/jobs", "/reindex", "/readyz", "/docs", "/openapi.json"];

export default defineConfig(({ command }) => ({
  root: "src",
  base: command === "build" ? "/static/" : "/",
  plugins: [react(), docs(), gzip()],
  build: {
    outDir: "../dist",
    emptyOutDir: true,
    license: { fileName: "licenses.md" },
    target: "es2022",
    assetsInlineLimit: 0,
    cssTarget: ["chrome123", "firefox120", "safari17.5"],
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: Object.fromEntries(calls.map((call) => [`^${call.replace(".", "\\.")}(?=[/?]|$)`, service])),
  },
  test: { include: ["**/*.test.ts"], environment: "node" },
}));
