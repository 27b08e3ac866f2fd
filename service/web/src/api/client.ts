/** Calls of the service; every failure is a `ServiceError`, a problem document or the lack of an answer. */
import { type KeyKind, readKey } from "./keys";
import type { components } from "./schema";

type Schemas = components["schemas"];
export type SearchRequest = Partial<Schemas["SearchRequest"]>;
export type SearchResponse = Schemas["SearchResponse"];
export type Result = Schemas["Result"];
export type SearchWarning = Schemas["SearchWarning"];
export type ImageResponse = Schemas["ImageResponse"];
export type VocabularyName = Schemas["VocabularyName"];
export type NameKind = Schemas["VocabularyResponse"]["kind"];
export type IndexResponse = Schemas["IndexResponse"];
export type IndexVersion = Schemas["IndexVersionResponse"];
export type Job = Schemas["JobResponse"];

export class ServiceError extends Error {
  override readonly name = "ServiceError";

  /**
   * @param status HTTP status; 0 where no answer came.
   * @param kind last part of the problem's type, such as `no-index`; `offline` where no answer came.
   * @param retryAfter seconds after which asking again makes sense.
   * @param location address of the job in the way, with 409.
   */
  constructor(
    readonly status: number,
    readonly kind: string,
    readonly title: string,
    detail: string,
    readonly retryAfter: number | null = null,
    readonly location: string | null = null,
  ) {
    super(detail);
  }
}

interface Call {
  readonly method?: "GET" | "POST";
  readonly body?: unknown;
  readonly signal?: AbortSignal | undefined;
  /** Whose key is sent, if it is there. */
  readonly as?: KeyKind | "nobody";
  readonly headers?: Record<string, string>;
  readonly priority?: RequestPriority;
}

async function send(
  path: string,
  { method = "GET", body, signal, as = "search", headers = {}, priority = "auto" }: Call = {},
): Promise<Response> {
  const keys: readonly KeyKind[] = as === "search" ? ["search", "admin"] : as === "admin" ? ["admin"] : [];
  const key = keys.map(readKey).find((one) => one !== null) ?? null;
  const init: RequestInit = { method, headers: { ...headers }, priority };
  if (signal) init.signal = signal;
  if (key !== null) init.headers = { ...init.headers, "X-API-Key": key };
  if (body !== undefined) {
    init.headers = { ...init.headers, "Content-Type": "application/json" };
    init.body = JSON.stringify(body);
  }
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ServiceError(0, "offline", "No answer", "the service cannot be reached");
  }
  if (!response.ok) throw await problem(response);
  return response;
}

const call = async <T>(path: string, how?: Call): Promise<T> => (await (await send(path, how)).json()) as T;

async function problem(response: Response): Promise<ServiceError> {
  const document = (await response.json().catch(() => ({}))) as Partial<Schemas["Problem"]>;
  const seconds = Number(response.headers.get("Retry-After") ?? Number.NaN);
  return new ServiceError(
    response.status,
    document.type?.split(":").at(-1) ?? `http-${response.status}`,
    document.title ?? `Status ${response.status}`,
    document.detail ?? "the service, or a proxy before it, gave no reason",
    Number.isFinite(seconds) ? seconds : null,
    response.headers.get("Location"),
  );
}

export const search = (body: SearchRequest, signal?: AbortSignal): Promise<SearchResponse> =>
  call("/search", { method: "POST", body, signal });

/** Several searches at once; each is answered, or has a problem, in its place. */
export const batch = async (
  queries: readonly SearchRequest[],
  signal?: AbortSignal,
): Promise<readonly (SearchResponse | Schemas["Problem"])[]> =>
  (await call<Schemas["BatchResponse"]>("/search/batch", { method: "POST", body: { queries }, signal })).answers;

export const image = (id: string, signal?: AbortSignal): Promise<ImageResponse> => call(imagePath(id), { signal });

const imagePath = (id: string): string => `/images/${id.split("/").map(encodeURIComponent).join("/")}`;

/** Where the service gives the picture of an image, if that is a file. */
export const picturePath = (id: string): string => `${imagePath(id)}/picture`;

/** That picture; after what somebody waits for. */
export const picture = async (id: string, how: Pick<Call, "as" | "signal"> = {}): Promise<Blob> =>
  (await send(picturePath(id), { ...how, priority: "low" })).blob();

export async function names(kind: NameKind, prefix: string, limit: number): Promise<readonly VocabularyName[]> {
  const fields = new URLSearchParams({ kind, prefix: prefix.slice(0, 200), limit: `${limit}` });
  return (await call<Schemas["VocabularyResponse"]>(`/vocabulary?${fields}`)).names;
}

export const index = (): Promise<IndexResponse> => call("/index", { as: "admin" });

export const versions = async (): Promise<readonly IndexVersion[]> =>
  (await call<Schemas["IndexVersionsResponse"]>("/index/versions", { as: "admin" })).versions;

export const rollback = (version: string): Promise<IndexVersion> =>
  call("/index/rollback", { method: "POST", body: { version }, as: "admin" });

export const reindex = (): Promise<Job> =>
  call("/reindex", { method: "POST", body: {}, as: "admin", headers: { "Idempotency-Key": token() } });

export const job = (id: string): Promise<Job> => call(`/jobs/${id}`, { as: "admin" });

export const cancel = (id: string): Promise<Job> => call(`/jobs/${id}/cancel`, { method: "POST", as: "admin" });

/** A fresh token; `crypto.randomUUID` is there only over HTTPS and on localhost. */
const token = (): string =>
  [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
