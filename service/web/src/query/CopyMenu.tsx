/** The query to take along: as JSON, as a command, as a link. */
import { useRef, useState } from "react";
import { readKey } from "../api/keys";
import { Icon } from "../parts/Icon";
import type { Request } from "../search/useSearch";
import { curlOf, jsonOf } from "./copy";

interface Props {
  readonly request: Request;
  readonly onPaste: () => void;
}

export function CopyMenu({ request, onPaste }: Props) {
  const [said, setSaid] = useState("");
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const copy = async (what: string, text: string) => {
    const copied = await write(text);
    setSaid(copied ? `${what} copied` : "The browser does not let the page copy");
    clearTimeout(timer.current);
    timer.current = setTimeout(() => setSaid(""), 2500);
  };
  return (
    <div className="copy-menu">
      <button type="button" className="quiet" onClick={onPaste}>
        <Icon name="paste" /> Paste a graph
      </button>
      <button type="button" className="quiet" onClick={() => copy("JSON", jsonOf(request.body))}>
        <Icon name="code" /> Copy as JSON
      </button>
      <button
        type="button"
        className="quiet"
        onClick={() => copy("Command", curlOf(request.body, location.origin, readKey("search") !== null))}
      >
        <Icon name="terminal" /> Copy as curl
      </button>
      <button type="button" className="quiet" onClick={() => copy("Link", location.href)}>
        <Icon name="link" /> Copy link
      </button>
      <span className="said" aria-live="polite">
        {said}
      </span>
    </div>
  );
}

/** Whether it worked; without HTTPS browsers have the old way only. */
async function write(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const before = document.activeElement;
    const area = document.createElement("textarea");
    area.value = text;
    area.setAttribute("aria-hidden", "true");
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    if (before instanceof HTMLElement) before.focus({ preventScroll: true });
    return copied;
  }
}
