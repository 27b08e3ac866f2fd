/** What of the query an image has, and what it misses. */
import { Icon } from "../parts/Icon";
import type { Words } from "./matches";

interface Props {
  readonly words: readonly Words[];
  readonly most?: number;
  readonly label?: string;
}

export function WordList({ words, most = words.length, label }: Props) {
  if (words.length === 0) return null;
  return (
    <ul className="words" aria-label={label}>
      {words.slice(0, most).map((one, row) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: two may be equal
        <li className={one.held ? "held" : "missing"} key={row}>
          <Icon name={one.held ? "check" : "close"} />
          <span className="hidden">{one.held ? "has " : "misses "}</span>
          {one.text}
        </li>
      ))}
      {words.length > most && <li className="rest">and {words.length - most} more</li>}
    </ul>
  );
}
