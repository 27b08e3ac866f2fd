/** An object of the drawing: its name and attributes, and a dot from which a relationship is drawn. */
import { Handle, type Node, type NodeProps, Position, useConnection } from "@xyflow/react";

export interface ObjectData extends Record<string, unknown> {
  readonly label: string;
  readonly attributes: readonly string[];
  readonly anything: boolean;
  /** Which of the colours, the same as in the pictures. */
  readonly colour: number;
  /** What the service takes the name for, if it is another. */
  readonly hint: string | null;
}

export type ObjectNodeType = Node<ObjectData, "object">;

export function ObjectNode({ data, selected }: NodeProps<ObjectNodeType>) {
  const drawing = useConnection((connection) => connection.inProgress);
  const classes = ["object", `colour-${data.colour}`, data.anything && "anything", selected && "selected"];
  return (
    <div className={classes.filter(Boolean).join(" ")}>
      {data.attributes.length > 0 && <span className="object-attributes">{data.attributes.join(", ")}</span>}
      <span className="object-name">{data.label}</span>
      {data.hint && <span className="object-hint">{data.hint}</span>}
      <Handle
        type="target"
        position={Position.Top}
        className={drawing ? "drop-here open" : "drop-here"}
        isConnectableStart={false}
      />
      <Handle
        type="source"
        position={Position.Bottom}
        className="draw-from"
        title="Drag to another object to relate them"
      />
    </div>
  );
}
