declare module "*.css" {
  const text: string;
  export default text;
}

declare module "*/pgweave-mode.js" {
  import type { StreamParser } from "@codemirror/language";
  export const pgweave: StreamParser<unknown>;
}
