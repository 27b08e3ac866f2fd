/** Small line drawings; what they mean stands beside them or in the button's name. */

const PATHS = {
  undo: "M9 7 4 12l5 5M4 12h11a5 5 0 0 1 0 10h-3",
  redo: "m15 7 5 5-5 5M20 12H9a5 5 0 0 0 0 10h3",
  trash: "M4 7h16M9 7V4h6v3m-8 0 1 13h8l1-13",
  close: "m6 6 12 12M18 6 6 18",
  plus: "M12 5v14M5 12h14",
  arrange: "M9 3h6v5H9zM3 16h6v5H3zM15 16h6v5h-6zM12 8v4M6 16v-4h12v4",
  link: "M10 14a4 4 0 0 0 6 0l3-3a4 4 0 0 0-6-6l-1 1m2 4a4 4 0 0 0-6 0l-3 3a4 4 0 0 0 6 6l1-1",
  code: "m8 7-5 5 5 5m8-10 5 5-5 5",
  terminal: "m5 8 4 4-4 4m7 0h7",
  paste: "M9 4h6v3H9zM9 5H6v16h12V5h-3",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2m0 16v2M2 12h2m16 0h2M5 5l1.5 1.5m11 11L19 19M5 19l1.5-1.5m11-11L19 5",
  moon: "M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5z",
  gear: "M12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6zM4 7h7m4 0h5M4 17h3m4 0h9",
  swap: "M7 4 3 8l4 4M3 8h14m0 4 4 4-4 4m4-4H7",
  check: "m5 12 5 5 9-10",
  search: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zm5 12 5 5",
} as const;

export function Icon({ name }: { readonly name: keyof typeof PATHS }) {
  return (
    <svg className="icon" viewBox="0 0 24 24" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
