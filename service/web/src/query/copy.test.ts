import { expect, it } from "vitest";
import { curlOf, jsonOf } from "./copy";

const body = { text: 'man\'s "dog"', explain: true, with_graph: true };

it("gives the request without what only the page needs", () =>
  expect(JSON.parse(jsonOf(body))).toEqual({ text: 'man\'s "dog"', limit: 10 }));

it("leaves the key to the shell", () =>
  expect(curlOf({ text: "dog" }, "http://here", true)).toContain('/search -H "X-API-Key: $SCENERANK_KEY" -H'));

it("quotes for a shell", () =>
  expect(curlOf(body, "http://here")).toBe(
    `curl -s http://here/search -H 'Content-Type: application/json' -d '{"text":"man'\\''s \\"dog\\"","limit":10}'`,
  ));
