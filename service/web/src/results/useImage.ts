/** What the catalogue has of an image; asked for once, and few at a time. */
import { useEffect, useState } from "react";
import { type ImageResponse, image } from "../api/client";

const AT_ONCE = 6;
const KEPT = 500;
const images = new Map<string, Promise<ImageResponse>>();
const waiting: (() => void)[] = [];
let running = 0;

export function useImage(id: string | null): ImageResponse | null {
  const [found, setFound] = useState<ImageResponse | null>(null);
  useEffect(() => {
    if (id === null) return;
    let stale = false;
    load(id).then(
      (one) => !stale && setFound(one),
      () => undefined, // the picture does without
    );
    return () => {
      stale = true;
    };
  }, [id]);
  return found?.image_id === id ? found : null;
}

function load(id: string): Promise<ImageResponse> {
  const known = images.get(id);
  if (known) return known;
  const answer = turn().then(() => image(id).finally(next));
  images.set(id, answer);
  answer.catch(() => images.delete(id));
  const oldest = images.keys().next().value;
  if (images.size > KEPT && oldest !== undefined) images.delete(oldest);
  return answer;
}

function turn(): Promise<void> {
  if (running < AT_ONCE) {
    running += 1;
    return Promise.resolve();
  }
  return new Promise((resolve) => waiting.push(resolve));
}

function next(): void {
  const resolve = waiting.shift();
  if (resolve) resolve();
  else running -= 1;
}
