/** The photo of an image, where there is one that the page may load. */
import { useState } from "react";
import { imagePath } from "../api/client";

let serviceHasFiles = true;

/**
 * Its address: http, https, or of the service itself; null for none.
 *
 * Local files are the service's to give; once it has given none the page asks for no more.
 */
export function photoOf(id: string, url: string | null): string | null {
  if (url === null) return null;
  if (/^https?:\/\//i.test(url) || /^\/(?!\/)/.test(url)) return url;
  return /^file:/i.test(url) && serviceHasFiles ? `${imagePath(id)}/picture` : null;
}

/** The photo to show, and what to call when it cannot be loaded. */
export function usePhoto(id: string, url: string | null): [string | null, () => void] {
  const [broken, setBroken] = useState<string | null>(null);
  const photo = photoOf(id, url);
  const onBroken = () => {
    if (/^file:/i.test(url ?? "")) serviceHasFiles = false;
    setBroken(photo);
  };
  return [photo === broken ? null : photo, onBroken];
}
