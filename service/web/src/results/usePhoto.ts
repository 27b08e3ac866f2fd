/** The photo of an image, where there is one that the page may load. */
import { useEffect, useState } from "react";
import { imagePath } from "../api/client";

const TRIES = 3;

// Local files are the service's to give. Many services give none: that is found out with few requests.
let misses = 0;
let verdict: Promise<boolean> | null = null;

function servesFiles(path: string): Promise<boolean> {
  if (misses >= TRIES) return Promise.resolve(false);
  verdict ??= loads(path).then((ok) => {
    if (!ok) {
      misses += 1;
      verdict = null;
    }
    return ok;
  });
  return verdict;
}

const loads = (path: string): Promise<boolean> =>
  new Promise((resolve) => {
    const picture = new Image();
    picture.onload = () => resolve(true);
    picture.onerror = () => resolve(false);
    picture.src = path;
  });

/** The photo's address if it is http, https, or of the service itself; undefined while that is being found out. */
export function usePhoto(id: string, url: string | null): [string | null | undefined, () => void] {
  const [broken, setBroken] = useState<string | null>(null);
  const isFile = url !== null && /^file:/i.test(url);
  const [given, setGiven] = useState<boolean | undefined>(undefined);
  const path = `${imagePath(id)}/picture`;
  useEffect(() => {
    if (!isFile) return;
    let stale = false;
    servesFiles(path).then((ok) => !stale && setGiven(ok));
    return () => {
      stale = true;
    };
  }, [isFile, path]);

  const plain = url !== null && (/^https?:\/\//i.test(url) || /^\/(?!\/)/.test(url)) ? url : null;
  const photo = isFile ? (given ? path : null) : plain;
  const onBroken = () => setBroken(photo);
  if (isFile && given === undefined) return [undefined, onBroken];
  return [photo !== null && photo === broken ? null : photo, onBroken];
}
