/** How large an image was when its boxes were drawn: what marks are measured in. Units: pixels. */
import { useImage } from "./useImage";

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** What holds all boxes. */
export function extentOf(boxes: readonly { x: number; y: number; w: number; h: number }[]): Size {
  return {
    width: Math.max(1, ...boxes.map((one) => one.x + one.w)),
    height: Math.max(1, ...boxes.map((one) => one.y + one.h)),
  };
}

/** Whether a photo can be of the size that the boxes are for: they lie in it, and take more than half of it. */
export function fits(photo: Size, boxes: Size): boolean {
  const [across, down] = [boxes.width / photo.width, boxes.height / photo.height];
  return across <= 1.02 && down <= 1.02 && Math.max(across, down) > 0.6;
}

/**
 * The size of the image; null while it is not known.
 *
 * @param photo size of the photo as loaded; the catalogue is asked only where the boxes do not fit it.
 */
export function useSize(id: string, photo: Size | null, boxes: Size): Size | null {
  const doubtful = photo !== null && !fits(photo, boxes);
  const image = useImage(doubtful ? id : null);
  if (!doubtful) return photo;
  return image === null ? null : { width: image.width ?? photo.width, height: image.height ?? photo.height };
}
