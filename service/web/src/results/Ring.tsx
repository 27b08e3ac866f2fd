/** A scene graph without boxes and photo: its objects around an ellipse. */
import type { NativeGraph } from "../query/model";

const [WIDTH, HEIGHT, MOST] = [320, 240, 12];

export function Ring({ graph }: { readonly graph: NativeGraph }) {
  const shown = graph.objects.slice(0, MOST);
  const places = new Map(
    shown.map((one, row) => {
      const angle = (2 * Math.PI * row) / shown.length - Math.PI / 2;
      const reach = shown.length === 1 ? 0 : 1;
      return [
        one.id,
        { x: WIDTH / 2 + reach * 105 * Math.cos(angle), y: HEIGHT / 2 + reach * 92 * Math.sin(angle) },
      ] as const;
    }),
  );
  const lines = (graph.relationships ?? []).flatMap((one, row) => {
    const [from, to] = [places.get(one.subject), places.get(one.object)];
    return from && to ? [{ from, to, key: row }] : [];
  });
  return (
    <div className="picture">
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} aria-hidden="true">
        {lines.map(({ from, to, key }) => (
          <line key={key} x1={from.x} y1={from.y} x2={to.x} y2={to.y} className="plain" strokeWidth={1.2} />
        ))}
        {shown.map((one) => {
          const place = places.get(one.id);
          const wide = Math.min((one.name ?? "*").length * 6.4 + 12, 110);
          return (
            place && (
              <g key={one.id} className="label colour-plain">
                <rect x={place.x - wide / 2} y={place.y - 9} width={wide} height={18} rx={4} />
                <text x={place.x} y={place.y + 4} fontSize={11.5}>
                  {(one.name ?? "*").slice(0, 16)}
                </text>
              </g>
            )
          );
        })}
      </svg>
    </div>
  );
}
