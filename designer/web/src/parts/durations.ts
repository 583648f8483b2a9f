// Durations and times as text: the only place of the page that formats them.

const UNITS: [number, string][] = [
  [86400, "day"],
  [3600, "hour"],
  [60, "minute"],
  [1, "second"],
];

/** 90061 as "1 day 1 hour 1 minute 1 second". */
export function inWords(seconds: number): string {
  const words: string[] = [];
  let left = seconds;
  for (const [size, unit] of UNITS) {
    const count = Math.floor(left / size);
    if (count > 0) words.push(`${count} ${unit}${count === 1 ? "" : "s"}`);
    left -= count * size;
  }
  return words.join(" ") || "0 seconds";
}

/** "42 ms", "4.20 s", "3 minutes 20 seconds". */
export function duration(seconds: number): string {
  if (seconds < 1) return seconds < 0.001 ? "< 1 ms" : `${Math.round(seconds * 1000)} ms`;
  return seconds < 60 ? `${seconds.toFixed(seconds < 10 ? 2 : 0)} s` : inWords(Math.round(seconds));
}

/** A time in the format that Python uses too: "2026-11-22 15:04:05 UTC". */
export function moment(iso: string): string {
  return `${new Date(iso).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}
