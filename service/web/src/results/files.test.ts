import { beforeEach, expect, it, vi } from "vitest";

const KEYED = "key-required";

/** Has the service answer requests without and with a key; gives what was asked for. */
function answering(without: number, withKey: number): string[] {
  const asked: string[] = [];
  vi.stubGlobal("fetch", async (path: string, { headers }: { headers: Record<string, string> }) => {
    const key = headers["X-API-Key"];
    asked.push(key === undefined ? path : `${path} ${key}`);
    const status = key === undefined ? without : withKey;
    const body = status === 200 ? "picture" : JSON.stringify({ type: `urn:${status === 401 ? KEYED : "other"}` });
    return new Response(body, { status });
  });
  return asked;
}

let wayOf: typeof import("./files").wayOf;
beforeEach(async () => {
  vi.stubGlobal("sessionStorage", { getItem: (name: string) => (name.includes("search") ? "sesame" : null) });
  vi.resetModules();
  ({ wayOf } = await import("./files"));
});

it("finds out once, without a key first", async () => {
  const asked = answering(200, 200);
  expect(await Promise.all([wayOf("1/a b"), wayOf("2")])).toEqual(["plain", "plain"]);
  expect(await wayOf("3")).toBe("plain");
  expect(asked).toEqual(["/images/1/a%20b/picture"]);
});

it("sends the key where the service asks for one", async () => {
  const asked = answering(401, 200);
  expect(await wayOf("1")).toBe("keyed");
  expect(await wayOf("2")).toBe("keyed");
  expect(asked).toEqual(["/images/1/picture", "/images/1/picture sesame"]);
});

it.each([
  [404, 200],
  [401, 404],
])("gives up after few files that are not there (%i, %i)", async (without, withKey) => {
  const asked = answering(without, withKey);
  for (const id of ["1", "2", "3", "4", "5"]) expect(await wayOf(id)).toBe("none");
  expect(new Set(asked.map((one) => one.split(" ")[0])).size).toBe(3);
});

it("does not take a busy service for one that gives none", async () => {
  answering(429, 429);
  for (const id of ["1", "2", "3", "4", "5"]) expect(await wayOf(id)).toBe("none");
  answering(200, 200);
  expect(await wayOf("6")).toBe("plain");
});
