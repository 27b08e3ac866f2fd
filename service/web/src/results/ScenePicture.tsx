/** An image: its photo where it has one, else its boxes; with marks for what of the query it has. */
import { useId, useState } from "react";
import type { NativeGraph } from "../query/model";
import { place } from "./labels";
import type { Arrow, Box, ImageObject } from "./matches";
import { Ring } from "./Ring";
import { extentOf, type Size, useSize } from "./size";
import type { Photo } from "./usePhoto";

interface Props {
  readonly id: string;
  readonly photo: Photo;
  readonly graph: NativeGraph;
  readonly objects: readonly ImageObject[];
  readonly arrows: readonly Arrow[];
  /** Width of the picture on the screen, about; labels are as large as text there. Units: pixels. */
  readonly shownAt: number;
  /** An object to be pointed out. */
  readonly pointed?: string | null;
}

export function ScenePicture({ id, photo: given, graph, objects, arrows, shownAt, pointed = null }: Props) {
  const { address: photo, onBroken } = given;
  const tip = useId();
  const [loaded, setLoaded] = useState<Size | null>(null);
  const extent = extentOf(objects.map((one) => one.box));
  const size = useSize(id, photo ? loaded : null, extent);
  if (photo === undefined) return <div className="picture" />;
  if (photo === null && objects.length === 0) return <Ring graph={graph} />;
  const { width, height } = size ?? extent;
  const unit = Math.max(width / shownAt, height / (shownAt * 0.75));
  const marked = objects.filter((one) => one.colour !== null || one.id === pointed);
  const plain = photo === null ? objects.filter((one) => !marked.includes(one)) : [];
  // Where one lies upon the other an arrow would only cover them.
  const lines = arrows
    .filter((one) => lengthOf(one) > SHORTEST * unit)
    .map((one) => ({ ...lineOf(one, unit), label: lengthOf(one) > LABELLED * unit ? one.label : "" }));
  const labels = place(
    [
      ...marked.map((one) => ({ text: one.name, colour: colourOf(one), of: one.box, must: marked.length <= FEW })),
      ...lines.map((one) => ({ text: one.label, colour: "colour-arrow", of: one.middle, must: false })),
      // Small ones last are small ones first left out.
      ...(marked.length === 0 || shownAt > ROOMY ? plain : []).map((one) => ({
        text: one.name,
        colour: "colour-plain",
        of: one.box,
        must: false,
      })),
    ].filter((one) => one.text !== ""),
    width,
    height,
    unit,
  );
  // A photo whose size is not known yet would have its marks in the wrong places.
  const known = photo === null || size !== null;
  return (
    <div className={photo ? "picture photo" : "picture"}>
      {photo && (
        <img
          src={photo}
          alt=""
          loading="lazy"
          decoding="async"
          onError={onBroken}
          onLoad={({ currentTarget }) =>
            setLoaded({ width: currentTarget.naturalWidth, height: currentTarget.naturalHeight })
          }
        />
      )}
      <svg viewBox={`0 0 ${width} ${height}`} aria-hidden="true" visibility={known ? undefined : "hidden"}>
        <defs>
          <marker id={tip} viewBox="0 0 8 8" refX="6.5" refY="4" markerWidth="4.5" markerHeight="4.5" orient="auto">
            <path d="M0 0 8 4 0 8z" className="tip" />
          </marker>
        </defs>
        {plain.map((one) => (
          <rect key={one.id} {...rectOf(one.box)} className="plain" strokeWidth={unit} />
        ))}
        {marked.map((one) => (
          <g key={one.id} className={colourOf(one)}>
            <rect {...rectOf(one.box)} className="mark-back" strokeWidth={5 * unit} rx={3 * unit} />
            <rect {...rectOf(one.box)} className="mark" strokeWidth={2.5 * unit} rx={3 * unit} />
          </g>
        ))}
        {lines.map((one, row) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: two arrows may be equal
          <g key={row}>
            <path d={one.path} className="arrow-back" strokeWidth={5 * unit} />
            <path d={one.path} className="arrow" strokeWidth={2 * unit} markerEnd={`url(#${tip})`} />
          </g>
        ))}
        {labels.map((one) => (
          <g className={`label ${one.colour}`} key={`${one.text} ${one.x} ${one.y}`}>
            <rect x={one.x} y={one.y} width={one.w} height={one.h} rx={4 * unit} />
            <text x={one.x + one.w / 2} y={one.y + one.h * 0.72} fontSize={11.5 * unit}>
              {one.text}
            </text>
          </g>
        ))}
      </svg>
    </div>
  );
}

const ROOMY = 400; // pixels across from which on all boxes have labels
const FEW = 4; // marks that all have a label, come what may
const [SHORTEST, LABELLED] = [20, 52]; // arrows, and those with room for a word; pixels on the screen

const lengthOf = ({ from, to }: Arrow): number =>
  Math.hypot(centre(to).x - centre(from).x, centre(to).y - centre(from).y);

const colourOf = (one: ImageObject): string => `colour-${one.colour ?? "other"}`;

const rectOf = ({ x, y, w, h }: Box) => ({ x, y, width: Math.max(w, 1), height: Math.max(h, 1) });

/** From centre to centre, bent a little so that it does not lie on a common edge of the boxes. */
function lineOf({ from, to }: Arrow, unit: number): { path: string; middle: Box } {
  const [a, b] = [centre(from), centre(to)];
  const length = Math.hypot(b.x - a.x, b.y - a.y);
  const at = (x: number, y: number): Box => ({ x, y, w: 0, h: 0 });
  const bend = Math.min(length * 0.12, 18 * unit);
  const control = {
    x: (a.x + b.x) / 2 + ((b.y - a.y) / length) * bend * 2,
    y: (a.y + b.y) / 2 - ((b.x - a.x) / length) * bend * 2,
  };
  const path = `M${a.x},${a.y} Q${control.x},${control.y} ${b.x},${b.y}`;
  return { path, middle: at((a.x + 2 * control.x + b.x) / 4, (a.y + 2 * control.y + b.y) / 4) };
}

const centre = ({ x, y, w, h }: Box) => ({ x: x + w / 2, y: y + h / 2 });
