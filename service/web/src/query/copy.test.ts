import { expect, it } from "vitest";
import { curlOf, jsonOf } from "./copy";

const body = { text: 'man\'s "dog"', explain: true, with_graph: true };

it("gives the request without what only the page needs", () =>
  expect(JSON.parse(jsonOf(body))).toEqual({ text: 'man\'s "dog"', limit: 10 }));

it("quotes for a shell", () =>
  expect(curlOf(body, "http://here")).toBe(
    `curl -s http://here/search -H 'Content-Type: application/json' -d '{"text":"man'\\''s \\"dog\\"","limit":10}'`,
  ));
