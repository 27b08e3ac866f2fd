/** A request as a program and as a shell would send it. */
import type { SearchRequest } from "../api/client";

/** Without what only the page needs. */
const plain = ({ with_graph: _, explain: __, ...body }: SearchRequest): SearchRequest => ({ ...body, limit: 10 });

export const jsonOf = (body: SearchRequest): string => JSON.stringify(plain(body), null, 2);

/** @param keyed whether the service asks for a key, which the command takes from a variable: it is not for sharing. */
export function curlOf(body: SearchRequest, origin: string, keyed = false): string {
  const quoted = JSON.stringify(plain(body)).replaceAll("'", "'\\''");
  const key = keyed ? ' -H "X-API-Key: $SCENERANK_KEY"' : "";
  return `curl -s ${origin}/search${key} -H 'Content-Type: application/json' -d '${quoted}'`;
}
