// Builds ../static/designer.js. The banner carries a hash of every source, so that a test without Node can tell whether
// the built file is that of the sources beside it.

import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const target = process.argv[2] ?? join(here, "..", "static", "designer.js");

/** Names and contents, in the order of the names; tests/designer/test_designer_bundle.py does the same. */
export function sourceHash() {
  const inside = readdirSync(join(here, "src"), { recursive: true, withFileTypes: true });
  const files = inside.filter((entry) => entry.isFile()).map((entry) => relative(here, join(entry.parentPath ?? entry.path, entry.name)));
  files.push("build.mjs", "package.json", "package-lock.json", join("..", "..", "notebooks", "static", "pgweave-mode.js"));
  const hash = createHash("sha256");
  for (const name of files.map((file) => file.replaceAll("\\", "/")).sort()) {
    hash.update(name + "\n");
    hash.update(readFileSync(join(here, name)));
  }
  return hash.digest("hex");
}

await build({
  entryPoints: [join(here, "src", "main.tsx")],
  outfile: target,
  absWorkingDir: here,
  bundle: true,
  format: "esm",
  minify: true,
  target: "es2022",
  jsx: "automatic",
  charset: "utf8",
  legalComments: "eof",
  loader: { ".css": "text" },
  define: { "process.env.NODE_ENV": '"production"' },
  banner: { js: `// pgweave designer, built by \`make designer\`. Sources: sha256 ${sourceHash()}` },
  logLevel: "warning",
});
