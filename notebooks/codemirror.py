"""The CodeMirror mode of the language, made from the token table: `static/pgweave-mode.js`.

The engine below does line by line what `grammar.highlight.tokenise` does; a test runs both on the same texts. A change of
the table is followed by `python -m pgweave.notebooks.codemirror`, which writes the file again.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from pgweave.grammar.reading.highlight import OTHERWISE, STATES, WORDS

TARGET = Path(__file__).with_name("static") / "pgweave-mode.js"
# Names that StreamLanguage knows (@codemirror/language, StreamParser.token).
TAGS = {
    "comment": "comment",
    "string": "string",
    "escape": "escape",
    "keyword": "keyword",
    "call": "variableName.standard",
    "operator": "operator",
    "number": "number",
    "placeholder": "variableName.special",
    "name": "variableName",
    "punctuation": "punctuation",
    "text": None,
}
_ENGINE = """\
// Made by `python -m pgweave.notebooks.codemirror` from grammar/reading/highlight.py. Do not edit.
// import { StreamLanguage } from "@codemirror/language"; StreamLanguage.define(pgweave)
const STATES = %(states)s;
const OTHERWISE = %(otherwise)s;
const WORDS = %(words)s;
const TAGS = %(tags)s;
for (const rules of Object.values(STATES)) {
  for (const rule of rules) rule.expression = new RegExp("^(?:" + rule.pattern + ")", "u");
}

function lookUp(rule, piece) {
  if (rule.kind !== "word") return rule.kind;
  const word = piece.toLowerCase();
  return Object.hasOwn(WORDS, word) ? WORDS[word] : rule.fallback;
}

export function kindOf(stream, state) {
  const top = state.stack[state.stack.length - 1];
  if (top.end && stream.match(top.end)) {
    state.stack.pop();
    return "string";
  }
  for (const rule of STATES[top.name]) {
    const found = stream.match(rule.expression);
    if (!found) continue;
    if (rule.then === "pop") state.stack.pop();
    else if (rule.then) state.stack.push({ name: rule.then, end: rule.then === "dollar" ? found[0] : "" });
    return lookUp(rule, found[0]);
  }
  stream.next();
  return OTHERWISE[top.name];
}

export const pgweave = {
  name: "pgweave",
  startState: () => ({ stack: [{ name: "root", end: "" }] }),
  copyState: (state) => ({ stack: state.stack.map((one) => ({ ...one })) }),
  token: (stream, state) => TAGS[kindOf(stream, state)],
  languageData: {
    commentTokens: { line: "--", block: { open: "/*", close: "*/" } },
    closeBrackets: { brackets: ["(", "'"] },
  },
};
"""


def mode() -> str:
    """The text of the mode; equal tables give equal text."""
    states = {
        name: [{**rule._asdict(), "pattern": _ascii(rule.pattern)} for rule in rules] for name, rules in STATES.items()
    }
    # _ENGINE is filled by %: str.format would take the braces of JavaScript for its own.
    tables = {"states": states, "otherwise": OTHERWISE, "words": WORDS, "tags": TAGS}
    return _ENGINE % {name: json.dumps(table, indent=1) for name, table in tables.items()}


def _ascii(pattern: str) -> str:
    """An expression for JavaScript with characters beyond ASCII spelled out."""
    return re.sub(r"[^\x00-\x7f]", lambda found: f"\\u{{{ord(found[0]):x}}}", pattern)


if __name__ == "__main__":
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(mode(), encoding="utf-8")
