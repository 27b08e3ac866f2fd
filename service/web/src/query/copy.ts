/** A request as a program and as a shell would send it. */
import type { SearchRequest } from "../api/client";

/** Without what only the page needs. */
const plain = ({ with_graph: _, explain: __, ...body }: SearchRequest): SearchRequest => ({ ...body, limit: 10 });

export const jsonOf = (body: SearchRequest): string => JSON.stringify(plain(body), null, 2);

export function curlOf(body: SearchRequest, origin: string): string {
  const quoted = JSON.stringify(plain(body)).replaceAll("'", "'\\''");
  return `curl -s ${origin}/search -H 'Content-Type: application/json' -d '${quoted}'`;
}
