/** The photo of an image, where there is one that the page may load. */
import { type RefObject, useEffect, useState } from "react";
import { picture, picturePath } from "../api/client";
import { type Way, wayOf } from "./files";

export interface Photo {
  /** http, https, of the service itself, or held by the page; undefined while it is not there yet; null for none. */
  readonly address: string | null | undefined;
  readonly onBroken: () => void;
}

const NEAR = "600px"; // from the window; as `loading="lazy"` does it, about

/**
 * @param frame what the photo is shown in: where a photo has to be fetched, it is while this is near the window.
 */
export function usePhoto(id: string, url: string | null, frame: RefObject<Element | null>): Photo {
  const [broken, setBroken] = useState<string | null>(null);
  const way = useWay(url !== null && /^file:/i.test(url) ? id : null);
  const near = useNear(frame, way === "keyed");
  const fetched = useFetched(near ? id : null);

  const plain = url !== null && (/^https?:\/\//i.test(url) || /^\/(?!\/)/.test(url)) ? url : null;
  const addresses = { unknown: undefined, none: null, elsewhere: plain, plain: picturePath(id), keyed: fetched };
  const address = addresses[way];
  return {
    address: address === broken ? null : address,
    onBroken: () => setBroken(address ?? null),
  };
}

/**
 * How the service gives a file.
 *
 * @param id null for what is no file.
 */
function useWay(id: string | null): Way | "unknown" | "elsewhere" {
  const [way, setWay] = useState<Way | "unknown">("unknown");
  useEffect(() => {
    if (id === null) return;
    let stale = false;
    wayOf(id).then((found) => !stale && setWay(found));
    return () => {
      stale = true;
    };
  }, [id]);
  return id === null ? "elsewhere" : way;
}

/** Whether an element is in the window or not far from it. */
function useNear(element: RefObject<Element | null>, wanted: boolean): boolean {
  const [near, setNear] = useState(false);
  useEffect(() => {
    const target = element.current;
    if (!wanted || !target) return;
    const watcher = new IntersectionObserver((entries) => setNear(entries.at(-1)?.isIntersecting ?? false), {
      rootMargin: NEAR,
    });
    watcher.observe(target);
    return () => watcher.disconnect();
  }, [element, wanted]);
  return near;
}

/**
 * The address under which the page holds a picture; undefined while it is under way, null where it does not come.
 *
 * @param id null lets go of it, and of the request for it.
 */
function useFetched(id: string | null): string | null | undefined {
  const [address, setAddress] = useState<string | null>();
  useEffect(() => {
    if (id === null) return;
    const stop = new AbortController();
    let held = "";
    const put = (blob: Blob) => {
      if (stop.signal.aborted) return;
      held = URL.createObjectURL(blob);
      setAddress(held);
    };
    picture(id, { signal: stop.signal }).then(put, () => stop.signal.aborted || setAddress(null));
    return () => {
      stop.abort();
      URL.revokeObjectURL(held);
      setAddress(undefined);
    };
  }, [id]);
  return address;
}
