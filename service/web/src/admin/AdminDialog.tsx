/** For whoever runs the service: the catalogue's size, index versions, a reindex, going back. */
import { type FormEvent, useCallback, useEffect, useState } from "react";
import { type IndexResponse, type IndexVersion, index, rollback, ServiceError, versions } from "../api/client";
import { keepKey, readKey } from "../api/keys";
import { Dialog } from "../parts/Dialog";
import { Reindex } from "./Reindex";

interface Props {
  readonly onClose: () => void;
  /** Told when another index version is in use. */
  readonly onSwitch: () => void;
}

export function AdminDialog({ onClose, onSwitch }: Props) {
  const [key, setKey] = useState(readKey("admin") ?? "");
  const [kept, setKept] = useState(readKey("admin") !== null);
  const [size, setSize] = useState<IndexResponse | null>(null);
  const [list, setList] = useState<readonly IndexVersion[]>([]);
  const [problem, setProblem] = useState<string | null>(null);

  const refresh = useCallback(async () => {
    const [nowSize, nowList] = await Promise.allSettled([index(), versions()]);
    setSize(nowSize.status === "fulfilled" ? nowSize.value : null);
    if (nowList.status === "fulfilled") setList(nowList.value);
    else setProblem(say(nowList.reason));
  }, []);
  useEffect(() => void refresh(), [refresh]);

  const onKey = (event: FormEvent) => {
    event.preventDefault();
    keepKey("admin", key.trim());
    setKept(key.trim() !== "");
    setProblem(null);
  };
  const onProblem = useCallback((error: unknown) => setProblem(error === null ? null : say(error)), []);
  const onRollback = async (version: string) => {
    setProblem(null);
    try {
      await rollback(version);
      await refresh();
      onSwitch();
    } catch (error) {
      setProblem(say(error));
    }
  };
  return (
    <Dialog title="Admin" onClose={onClose} wide>
      <form className="row admin-key" onSubmit={onKey}>
        <label className="field">
          <span>API key</span>
          <input type="password" autoComplete="off" value={key} onChange={(event) => setKey(event.target.value)} />
        </label>
        <button type="submit" className={kept ? "" : "primary"}>
          Use key
        </button>
        <p className="help">
          {kept ? "Kept in this tab only." : "An admin key of this service; it stays in this tab only."}
        </p>
      </form>
      {problem && (
        <p className="field-problem" role="alert">
          {problem}
        </p>
      )}
      {size && (
        <dl className="facts">
          <Fact name="Images in the catalogue" value={size.catalogue_count} />
          <Fact name="Images that can be found" value={size.count} />
          <Fact name="Changed since the version was made" value={size.changed} />
        </dl>
      )}
      <Reindex
        enabled={kept}
        onProblem={onProblem}
        onDone={() => {
          void refresh();
          onSwitch();
        }}
      />
      <h3 id="versions">Index versions</h3>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: on a small screen it is scrolled, by keyboard too */}
      {/* biome-ignore lint/a11y/useSemanticElements: a fieldset is for fields */}
      <div className="table" role="group" aria-labelledby="versions" tabIndex={0}>
        <table aria-labelledby="versions">
          <thead>
            <tr>
              <th scope="col">Made</th>
              <th scope="col">Images</th>
              <th scope="col">Model</th>
              <th scope="col">State</th>
            </tr>
          </thead>
          <tbody>
            {list.map((one) => (
              <tr key={one.version}>
                <td title={one.version}>{one.created_at ? new Date(one.created_at).toLocaleString() : one.version}</td>
                <td>{one.count?.toLocaleString("en")}</td>
                <td>
                  <code>{one.model_version?.replace(/^[a-z0-9]+:/, "").slice(0, 10)}</code>
                </td>
                <td>
                  {one.in_use ? (
                    <b>in use</b>
                  ) : one.usable ? (
                    <button type="button" disabled={!kept} onClick={() => onRollback(one.version)}>
                      {isNewer(one, list) ? "Use this version" : "Go back to this version"}
                    </button>
                  ) : (
                    "damaged"
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Dialog>
  );
}

/** Whether it was made after the one in use, which somebody has gone back to. */
const isNewer = (one: IndexVersion, list: readonly IndexVersion[]): boolean =>
  one.version > (list.find((other) => other.in_use)?.version ?? "");

function Fact({ name, value }: { readonly name: string; readonly value: number }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value.toLocaleString("en")}</dd>
    </div>
  );
}

/** What went wrong, with what to do where the service cannot know that a person reads it. */
function say(error: unknown): string {
  if (!(error instanceof ServiceError)) return String(error);
  if (error.kind === "key-required") return "This key is not accepted: enter an admin key of this service above.";
  if (error.kind === "admin-disabled")
    return "Admin calls are switched off: set SCENERANK_ADMIN_KEYS and restart the service.";
  return `${error.message.charAt(0).toUpperCase()}${error.message.slice(1)}.`;
}
