// Small line drawings, 16 by 16, in the colour of the text around them.

const PATHS: Record<string, string> = {
  step: "M3 4.2C3 3 5.2 2 8 2s5 1 5 2.2v7.6C13 13 10.8 14 8 14s-5-1-5-2.2zM3 4.2c0 1.2 2.2 2.2 5 2.2s5-1 5-2.2M3 8c0 1.2 2.2 2.2 5 2.2s5-1 5-2.2",
  wait: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM8 4.8V8l2.4 1.6",
  decision: "M8 2l6 6-6 6-6-6zM8 5.6v2.8M8 10.3v.2",
  loop: "M12.9 6.2A5.2 5.2 0 0 0 3.6 5M3.1 9.8A5.2 5.2 0 0 0 12.4 11M3.2 2.4V5.2H6M12.8 13.6v-2.8H10",
  join: "M3.5 2v12M8 2v12M12.5 2v12",
  race: "M3.5 14V2.4M3.5 3h8.6l-2 3 2 3H3.5",
  child: "M2.5 2.5h11v11h-11zM5.5 5.5h5v5h-5z",
  break: "M9 3h4v10H9M2.5 8H9M6.5 5.2L9.3 8l-2.8 2.8",
  http: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM2 8h12M8 2c-4 4-4 8 0 12M8 2c4 4 4 8 0 12",
  opaque: "M5.5 6a2.5 2.5 0 1 1 3.4 2.3c-.6.3-.9.7-.9 1.4M8 12.2v.3",
  sequence: "M8 2v9M5 8.5L8 12l3-3.5",
  plus: "M8 3v10M3 8h10",
  trash: "M2.5 4.5h11M6 4.5v-2h4v2M4 4.5l.7 9h6.6l.7-9M6.7 7v4M9.3 7v4",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  wrap: "M2.5 2.5h11v11h-11zM5.5 8h5",
  unwrap: "M5 2.5H2.5V5M11 2.5h2.5V5M5 13.5H2.5V11M11 13.5h2.5V11M5.5 8h5",
  swap: "M3 5.5h9M9.5 3L12 5.5 9.5 8M13 10.5H4M6.5 8L4 10.5 6.5 13",
  fold: "M4 6l4 4 4-4",
  unfold: "M6 4l4 4-4 4",
  search: "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9zM10.4 10.4L14 14",
  undo: "M6 3L3 6l3 3M3 6h6a4 4 0 0 1 0 8H6",
  redo: "M10 3l3 3-3 3M13 6H7a4 4 0 0 0 0 8h3",
  save: "M2.5 2.5h9l2 2v9h-11zM5 2.5v4h5v-4M5 13.5v-4h6v4",
  play: "M4.5 2.8v10.4L13 8z",
  compare: "M8 2v12M2.5 4h3.5v8H2.5zM10 4h3.5v8H10z",
  moon: "M13 9.6A5.6 5.6 0 0 1 6.4 3 5.6 5.6 0 1 0 13 9.6z",
  sun: "M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6zM8 1.5v1.4M8 13.1v1.4M1.5 8h1.4M13.1 8h1.4M3.4 3.4l1 1M11.6 11.6l1 1M3.4 12.6l1-1M11.6 4.4l1-1",
  format: "M2.5 3.5h11M2.5 6.5h7M2.5 9.5h11M2.5 12.5h7",
  keys: "M1.5 4.5h13v7h-13zM4 7h.2M7 7h.2M10 7h.2M12 7h.2M5 9.5h6",
  close: "M4 4l8 8M12 4l-8 8",
  warning: "M8 2.2l6.3 11.3H1.7zM8 6.5v3.2M8 11.4v.3",
  completed: "M3 8.5l3.2 3.2L13 5",
  failed: "M4 4l8 8M12 4l-8 8",
  running: "M4.5 2.8v10.4L13 8z",
  waiting: "M4 2.5h8M4 13.5h8M5 2.5c0 3.5 3 3.5 3 5.5s-3 2-3 5.5M11 2.5c0 3.5-3 3.5-3 5.5s3 2 3 5.5",
  pending: "M8 5.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5z",
  skipped: "M3 3.5L8 8l-5 4.5zM8.5 3.5l5 4.5-5 4.5z",
  cancelled: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM4 12L12 4",
};

export function Icon({ name, size = 16 }: { name: string; size?: number }) {
  return (
    <svg className="pw-icon" width={size} height={size} viewBox="0 0 16 16" aria-hidden="true">
      <path d={PATHS[name] ?? PATHS["opaque"]} />
    </svg>
  );
}
