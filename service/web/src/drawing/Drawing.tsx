/** The canvas: objects as boxes, relationships as arrows; by mouse, finger or keyboard. */
import {
  applyNodeChanges,
  Background,
  type Connection,
  Controls,
  type FinalConnectionState,
  MarkerType,
  type NodeChange,
  ReactFlow,
  useReactFlow,
} from "@xyflow/react";
import { type KeyboardEvent, useEffect, useMemo, useRef, useState } from "react";
import type { SearchWarning } from "../api/client";
import { addObject, changeObject, labels, type Query, relate, remove } from "../query/model";
import { arrowsOf, nodesOf } from "./elements";
import { ObjectNode, type ObjectNodeType } from "./ObjectNode";
import { RelationshipEdge } from "./RelationshipEdge";

const NODES = { object: ObjectNode };
const EDGES = { relationship: RelationshipEdge };

interface Props {
  readonly query: Query;
  readonly warnings: readonly SearchWarning[];
  readonly selected: string | null;
  readonly onSelect: (id: string | null) => void;
  /** Somebody at the keyboard wants to change a part. */
  readonly onEdit: (id: string) => void;
  readonly edit: (change: (query: Query) => Query) => void;
}

export function Drawing({ query, warnings, selected, onSelect, onEdit, edit }: Props) {
  const flow = useReactFlow();
  const canvas = useRef<HTMLElement>(null);
  const [nodes, setNodes] = useState<ObjectNodeType[]>([]);
  const names = useMemo(() => labels(query), [query]);
  const arrows = useMemo(() => arrowsOf(query, names, selected, onSelect), [query, names, selected, onSelect]);

  useEffect(() => {
    setNodes((old) => nodesOf(query, names, warnings, selected, old));
  }, [query, names, warnings, selected]);

  // All in view whenever something has come or gone, or a name has become longer.
  const count = query.objects.length;
  const sizes = nodes.map((one) => `${one.measured?.width} ${one.measured?.height}`).join();
  const shape = `${query.objects.map((one) => one.id).join()} ${sizes}`;
  // biome-ignore lint/correctness/useExhaustiveDependencies: whenever the shape is another
  useEffect(() => {
    const timer = setTimeout(() => void flow.fitView({ padding: 0.2, maxZoom: 1.1, duration: calm() ? 0 : 200 }), 60);
    return () => clearTimeout(timer);
  }, [shape, flow]);

  const onNodesChange = (changes: NodeChange<ObjectNodeType>[]) => {
    for (const change of changes) if (change.type === "select" && change.selected) onSelect(change.id);
    setNodes((old) =>
      applyNodeChanges(
        changes.filter((change) => change.type !== "select" && change.type !== "remove"),
        old,
      ),
    );
    const placed = changes.filter((change) => change.type === "position" && change.dragging === false);
    if (placed.length > 0) {
      edit((old) =>
        placed.reduce((next, change) => {
          const place = change.type === "position" ? (change.position ?? flow.getNode(change.id)?.position) : undefined;
          return place && change.type === "position" ? changeObject(next, change.id, place) : next;
        }, old),
      );
    }
  };
  const onConnect = ({ source, target }: Connection) => {
    const [next, id] = relate(query, source, target);
    edit(() => next);
    onSelect(id);
  };
  // An arrow drawn into the open makes what it points at.
  const onConnectEnd = (event: MouseEvent | TouchEvent, { isValid, fromNode, toNode }: FinalConnectionState) => {
    if (isValid || toNode || !fromNode) return;
    const { clientX, clientY } =
      "changedTouches" in event ? (event.changedTouches[0] ?? { clientX: 0, clientY: 0 }) : event;
    const at = flow.screenToFlowPosition({ x: clientX, y: clientY });
    const [grown, object] = addObject(query, null, { x: at.x - 50, y: at.y - 20 });
    const [next, id] = relate(grown, fromNode.id, object);
    edit(() => next);
    onSelect(id);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const part =
      event.target instanceof Element ? event.target.closest<HTMLElement>("[data-id]")?.dataset["id"] : undefined;
    if ((event.key === "Delete" || event.key === "Backspace") && (part ?? selected)) {
      event.preventDefault();
      edit((old) => remove(old, new Set([part ?? selected ?? ""])));
      onSelect(null);
      canvas.current?.focus({ preventScroll: true }); // what had the focus is gone
    } else if ((event.key === "Enter" || event.key === " ") && part) {
      event.preventDefault();
      onEdit(part);
    }
  };

  // Taken before React Flow would take the focus away.
  const onEscape = (event: KeyboardEvent) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    onSelect(null);
  };

  return (
    <section
      className="canvas"
      aria-label="Drawing"
      ref={canvas}
      tabIndex={-1}
      onKeyDown={onKeyDown}
      onKeyDownCapture={onEscape}
    >
      <ReactFlow
        nodes={nodes}
        edges={arrows}
        nodeTypes={NODES}
        edgeTypes={EDGES}
        onNodesChange={onNodesChange}
        onConnect={onConnect}
        onConnectEnd={onConnectEnd}
        onEdgeClick={(_, edge) => onSelect(edge.id)}
        onPaneClick={() => onSelect(null)}
        defaultEdgeOptions={{
          markerEnd: { type: MarkerType.ArrowClosed, width: 18, height: 18, color: "var(--xy-edge-stroke)" },
        }}
        connectionRadius={40}
        deleteKeyCode={null}
        multiSelectionKeyCode={null}
        selectionKeyCode={null}
        zoomOnDoubleClick={false}
        zoomOnScroll={false}
        preventScrolling={false}
        minZoom={0.1}
        maxZoom={1.5}
        fitView
        fitViewOptions={{ padding: 0.2, maxZoom: 1.1 }}
        proOptions={{ hideAttribution: true }}
      >
        <Background gap={20} size={1.2} />
        <Controls showInteractive={false} />
      </ReactFlow>
      {count > 1 && query.relationships.length === 0 && (
        <p className="canvas-hint top">Drag from the dot of one object to another to relate them.</p>
      )}
      {count === 0 && (
        <p className="canvas-hint">
          Add objects below, then drag from the dot of one to another to relate them. Or write a line above.
        </p>
      )}
    </section>
  );
}

const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
