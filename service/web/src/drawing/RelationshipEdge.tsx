/** A relationship of the drawing: an arrow from border to border with its predicate in the middle. */
import {
  BaseEdge,
  type Edge,
  EdgeLabelRenderer,
  type EdgeProps,
  type InternalNode,
  useInternalNode,
} from "@xyflow/react";

export interface RelationshipData extends Record<string, unknown> {
  readonly label: string;
  /** How far the arrow bends, so that those of one pair lie beside each other. */
  readonly bend: number;
  readonly onSelect: () => void;
}

export type RelationshipEdgeType = Edge<RelationshipData, "relationship">;

interface Point {
  readonly x: number;
  readonly y: number;
}

export function RelationshipEdge({ source, target, data, selected, markerEnd }: EdgeProps<RelationshipEdgeType>) {
  const from = useInternalNode(source);
  const to = useInternalNode(target);
  if (!from || !to || !data) return null;
  const { path, middle } = source === target ? loop(from, data.bend) : arrow(from, to, data.bend);
  return (
    <>
      <BaseEdge path={path} interactionWidth={24} {...(markerEnd && { markerEnd })} />
      <EdgeLabelRenderer>
        {/* The arrow itself has the keyboard; this is for the pointer. */}
        <button
          type="button"
          tabIndex={-1}
          aria-hidden="true"
          className={selected ? "predicate nopan selected" : "predicate nopan"}
          style={{ transform: `translate(-50%, -50%) translate(${middle.x}px, ${middle.y}px)` }}
          onClick={data.onSelect}
        >
          {data.label}
        </button>
      </EdgeLabelRenderer>
    </>
  );
}

const sizeOf = (node: InternalNode) => ({ w: node.measured.width ?? 100, h: node.measured.height ?? 40 });

function centre(node: InternalNode): Point {
  const { w, h } = sizeOf(node);
  return { x: node.internals.positionAbsolute.x + w / 2, y: node.internals.positionAbsolute.y + h / 2 };
}

/** Where the line from a node's centre towards a point leaves the node, and `gap` further. */
function border(node: InternalNode, towards: Point, gap: number): Point {
  const { w, h } = sizeOf(node);
  const { x, y } = centre(node);
  const [dx, dy] = [towards.x - x, towards.y - y];
  const length = Math.hypot(dx, dy) || 1;
  const share = Math.min(w / 2 / (Math.abs(dx) || 1e-6), h / 2 / (Math.abs(dy) || 1e-6)) + gap / length;
  return { x: x + dx * Math.min(share, 1), y: y + dy * Math.min(share, 1) };
}

function arrow(from: InternalNode, to: InternalNode, bend: number): { path: string; middle: Point } {
  const [a, b] = [centre(from), centre(to)];
  const length = Math.hypot(b.x - a.x, b.y - a.y) || 1;
  const [across, along] = [(b.y - a.y) / length, -(b.x - a.x) / length];
  const control = { x: (a.x + b.x) / 2 + across * bend * 2, y: (a.y + b.y) / 2 + along * bend * 2 };
  const start = border(from, control, 2);
  const end = border(to, control, 5);
  const middle = { x: (start.x + 2 * control.x + end.x) / 4, y: (start.y + 2 * control.y + end.y) / 4 };
  return { path: `M${start.x},${start.y} Q${control.x},${control.y} ${end.x},${end.y}`, middle };
}

function loop(node: InternalNode, bend: number): { path: string; middle: Point } {
  const { x, y } = centre(node);
  const { w, h } = sizeOf(node);
  const [right, tall] = [x + w / 2, h / 2 + 18 + Math.abs(bend)];
  const path = `M${right - 14},${y - h / 2 - 2} C${right},${y - h / 2 - tall} ${right + tall + 14},${y - h / 2} ${right + 5},${y}`;
  return { path, middle: { x: right + tall / 2 + 8, y: y - h / 2 - tall / 3 } };
}
