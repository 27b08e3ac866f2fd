/** An image: its photo where it has one, else its boxes; with marks for what of the query it has. */
import { useId, useState } from "react";
import type { NativeGraph } from "../query/model";
import type { Arrow, Box, ImageObject } from "./matches";
import { Ring } from "./Ring";
import { useImage } from "./useImage";

interface Props {
  readonly id: string;
  readonly url: string | null;
  readonly graph: NativeGraph;
  readonly objects: readonly ImageObject[];
  readonly arrows: readonly Arrow[];
  /** Width of the picture on the screen, about; labels are as large as text there. Units: pixels. */
  readonly shownAt: number;
  /** An object to be pointed out. */
  readonly pointed?: string | null;
}

export function ScenePicture({ id, url, graph, objects, arrows, shownAt, pointed = null }: Props) {
  const [broken, setBroken] = useState(false);
  const tip = useId();
  const photo = url !== null && !broken && isPicture(url) ? url : null;
  // Boxes are in the pixels of the image as it was annotated, which only the catalogue knows.
  const image = useImage(photo !== null ? id : null);
  if (photo === null && objects.length === 0) return <Ring graph={graph} />;
  const width = image?.width ?? Math.max(1, ...objects.map((one) => one.box.x + one.box.w));
  const height = image?.height ?? Math.max(1, ...objects.map((one) => one.box.y + one.box.h));
  const unit = Math.max(width / shownAt, height / (shownAt * 1.2));
  const marked = objects.filter((one) => one.colour !== null || one.id === pointed);
  const plain = photo === null ? objects.filter((one) => !marked.includes(one)) : [];
  const labelled = photo === null && marked.length === 0 ? plain.slice(0, 12) : marked;
  return (
    <div className="picture">
      {photo && <img src={photo} alt="" loading="lazy" decoding="async" onError={() => setBroken(true)} />}
      <svg viewBox={`0 0 ${width} ${height}`} aria-hidden="true">
        <defs>
          <marker id={tip} viewBox="0 0 8 8" refX="6.5" refY="4" markerWidth="4.5" markerHeight="4.5" orient="auto">
            <path d="M0 0 8 4 0 8z" className="tip" />
          </marker>
        </defs>
        {plain.map((one) => (
          <rect key={one.id} {...rectOf(one.box)} className="plain" strokeWidth={unit} />
        ))}
        {marked.map((one) => (
          <rect
            key={one.id}
            {...rectOf(one.box)}
            className={`mark colour-${one.colour ?? "other"}`}
            strokeWidth={2.5 * unit}
            rx={3 * unit}
          />
        ))}
        {arrows.map((one, row) => {
          const { path, middle } = lineOf(one, unit);
          return (
            // biome-ignore lint/suspicious/noArrayIndexKey: two arrows may be equal
            <g key={row}>
              <path d={path} className="arrow-back" strokeWidth={5 * unit} />
              <path d={path} className="arrow" strokeWidth={2 * unit} markerEnd={`url(#${tip})`} />
              {one.label && (
                <Label text={one.label} x={middle.x} y={middle.y} unit={unit} width={width} height={height} centred />
              )}
            </g>
          );
        })}
        {labelled.map((one) => (
          <Label
            key={one.id}
            text={one.name}
            x={one.box.x}
            y={one.box.y}
            unit={unit}
            width={width}
            height={height}
            colour={marked.includes(one) ? `colour-${one.colour ?? "other"}` : "colour-plain"}
          />
        ))}
      </svg>
    </div>
  );
}

interface LabelProps {
  readonly text: string;
  readonly x: number;
  readonly y: number;
  readonly unit: number;
  readonly width: number;
  readonly height: number;
  readonly colour?: string;
  readonly centred?: boolean;
}

function Label({ text, x, y, unit, width, height, colour = "colour-arrow", centred = false }: LabelProps) {
  const [wide, tall] = [(text.length * 6.4 + 10) * unit, 17 * unit];
  const left = Math.min(Math.max(centred ? x - wide / 2 : x, 0), Math.max(0, width - wide));
  const top = Math.min(Math.max(centred ? y - tall / 2 : y, 0), Math.max(0, height - tall));
  return (
    <g className={`label ${colour}`}>
      <rect x={left} y={top} width={wide} height={tall} rx={4 * unit} />
      <text x={left + wide / 2} y={top + tall * 0.72} fontSize={11.5 * unit}>
        {text}
      </text>
    </g>
  );
}

/** Whether an address is one that the page may load: http, https, or of the service itself. */
export const isPicture = (url: string): boolean => /^https?:\/\//i.test(url) || /^\/(?!\/)/.test(url);

const rectOf = ({ x, y, w, h }: Box) => ({ x, y, width: Math.max(w, 1), height: Math.max(h, 1) });

/** From centre to centre, bent a little so that it does not lie on a common edge of the boxes. */
function lineOf({ from, to }: Arrow, unit: number): { path: string; middle: { x: number; y: number } } {
  const [a, b] = [centre(from), centre(to)];
  const length = Math.hypot(b.x - a.x, b.y - a.y);
  if (length < 24 * unit) {
    const reach = 28 * unit; // one lies on the other: a small hook beside them
    const path = `M${a.x},${a.y} C${a.x + reach},${a.y - reach} ${b.x + reach},${b.y + reach} ${b.x + 3 * unit},${b.y}`;
    return { path, middle: { x: a.x + reach, y: (a.y + b.y) / 2 - 12 * unit } };
  }
  const bend = Math.min(length * 0.12, 18 * unit);
  const control = {
    x: (a.x + b.x) / 2 + ((b.y - a.y) / length) * bend * 2,
    y: (a.y + b.y) / 2 - ((b.x - a.x) / length) * bend * 2,
  };
  const middle = { x: (a.x + 2 * control.x + b.x) / 4, y: (a.y + 2 * control.y + b.y) / 4 };
  return { path: `M${a.x},${a.y} Q${control.x},${control.y} ${b.x},${b.y}`, middle };
}

const centre = ({ x, y, w, h }: Box) => ({ x: x + w / 2, y: y + h / 2 });
