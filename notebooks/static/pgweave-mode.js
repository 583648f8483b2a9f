// Made by `python -m pgweave.notebooks.codemirror` from grammar/reading/highlight.py. Do not edit.
// import { StreamLanguage } from "@codemirror/language"; StreamLanguage.define(pgweave)
const STATES = {
 "root": [
  {
   "pattern": "--[^\\n]*",
   "kind": "comment",
   "then": "",
   "fallback": ""
  },
  {
   "pattern": "/[*]",
   "kind": "comment",
   "then": "comment",
   "fallback": ""
  },
  {
   "pattern": "[eE]'",
   "kind": "string",
   "then": "escape",
   "fallback": ""
  },
  {
   "pattern": "(?:[uU]&|[nNbBxX])?'",
   "kind": "string",
   "then": "quote",
   "fallback": ""
  },
  {
   "pattern": "[$](?:[A-Za-z_][A-Za-z0-9_]*)?[$]",
   "kind": "string",
   "then": "dollar",
   "fallback": ""
  },
  {
   "pattern": "\"(?:[^\"]|\"\")*\"",
   "kind": "name",
   "then": "",
   "fallback": ""
  },
  {
   "pattern": "df[.][A-Za-z_][A-Za-z0-9_]*",
   "kind": "word",
   "then": "",
   "fallback": "name"
  },
  {
   "pattern": "[0-9]+(?:[.][0-9]+)?",
   "kind": "number",
   "then": "",
   "fallback": ""
  },
  {
   "pattern": "[A-Za-z_\\u{80}-\\u{10ffff}][A-Za-z0-9_\\u{80}-\\u{10ffff}]*",
   "kind": "word",
   "then": "",
   "fallback": "name"
  },
  {
   "pattern": "[~!@#^&|`?+*/%<>=-]+|::|:=",
   "kind": "operator",
   "then": "",
   "fallback": ""
  },
  {
   "pattern": "[()\\[\\],;.:]",
   "kind": "punctuation",
   "then": "",
   "fallback": ""
  },
  {
   "pattern": "[ \\t\\r\\f\\v]+",
   "kind": "text",
   "then": "",
   "fallback": ""
  }
 ],
 "quote": [
  {
   "pattern": "''",
   "kind": "escape",
   "then": "",
   "fallback": ""
  },
  {
   "pattern": "'",
   "kind": "string",
   "then": "pop",
   "fallback": ""
  },
  {
   "pattern": "[$][A-Za-z_][A-Za-z0-9_]*(?:[.](?:[*]|[A-Za-z_][A-Za-z0-9_]*))?[?]?|[{][A-Za-z_][A-Za-z0-9_]*[}]",
   "kind": "placeholder",
   "then": "",
   "fallback": ""
  },
  {
   "pattern": "[A-Za-z_\\u{80}-\\u{10ffff}][A-Za-z0-9_\\u{80}-\\u{10ffff}]*",
   "kind": "word",
   "then": "",
   "fallback": "string"
  },
  {
   "pattern": "[^'$\\\\{A-Za-z_\\u{80}-\\u{10ffff}]+",
   "kind": "string",
   "then": "",
   "fallback": ""
  }
 ],
 "escape": [
  {
   "pattern": "''|\\\\[^\\n]",
   "kind": "escape",
   "then": "",
   "fallback": ""
  },
  {
   "pattern": "'",
   "kind": "string",
   "then": "pop",
   "fallback": ""
  },
  {
   "pattern": "[$][A-Za-z_][A-Za-z0-9_]*(?:[.](?:[*]|[A-Za-z_][A-Za-z0-9_]*))?[?]?|[{][A-Za-z_][A-Za-z0-9_]*[}]",
   "kind": "placeholder",
   "then": "",
   "fallback": ""
  },
  {
   "pattern": "[A-Za-z_\\u{80}-\\u{10ffff}][A-Za-z0-9_\\u{80}-\\u{10ffff}]*",
   "kind": "word",
   "then": "",
   "fallback": "string"
  },
  {
   "pattern": "[^'$\\\\{A-Za-z_\\u{80}-\\u{10ffff}]+",
   "kind": "string",
   "then": "",
   "fallback": ""
  }
 ],
 "dollar": [
  {
   "pattern": "[$][A-Za-z_][A-Za-z0-9_]*(?:[.](?:[*]|[A-Za-z_][A-Za-z0-9_]*))?[?]?|[{][A-Za-z_][A-Za-z0-9_]*[}]",
   "kind": "placeholder",
   "then": "",
   "fallback": ""
  },
  {
   "pattern": "[A-Za-z_\\u{80}-\\u{10ffff}][A-Za-z0-9_\\u{80}-\\u{10ffff}]*",
   "kind": "word",
   "then": "",
   "fallback": "string"
  },
  {
   "pattern": "[^'$\\\\{A-Za-z_\\u{80}-\\u{10ffff}]+",
   "kind": "string",
   "then": "",
   "fallback": ""
  }
 ],
 "comment": [
  {
   "pattern": "/[*]",
   "kind": "comment",
   "then": "comment",
   "fallback": ""
  },
  {
   "pattern": "[*]/",
   "kind": "comment",
   "then": "pop",
   "fallback": ""
  },
  {
   "pattern": "[^*/]+",
   "kind": "comment",
   "then": "",
   "fallback": ""
  }
 ]
};
const OTHERWISE = {
 "root": "text",
 "quote": "string",
 "escape": "string",
 "dollar": "string",
 "comment": "comment"
};
const WORDS = {
 "all": "keyword",
 "alter": "keyword",
 "analyze": "keyword",
 "and": "keyword",
 "any": "keyword",
 "array": "keyword",
 "as": "keyword",
 "asc": "keyword",
 "begin": "keyword",
 "between": "keyword",
 "by": "keyword",
 "call": "keyword",
 "case": "keyword",
 "cast": "keyword",
 "commit": "keyword",
 "conflict": "keyword",
 "create": "keyword",
 "cross": "keyword",
 "current_date": "keyword",
 "current_timestamp": "keyword",
 "current_user": "keyword",
 "declare": "keyword",
 "default": "keyword",
 "delete": "keyword",
 "desc": "keyword",
 "distinct": "keyword",
 "do": "keyword",
 "drop": "keyword",
 "else": "keyword",
 "end": "keyword",
 "except": "keyword",
 "exists": "keyword",
 "false": "keyword",
 "filter": "keyword",
 "for": "keyword",
 "from": "keyword",
 "full": "keyword",
 "function": "keyword",
 "group": "keyword",
 "having": "keyword",
 "if": "keyword",
 "ilike": "keyword",
 "in": "keyword",
 "index": "keyword",
 "inner": "keyword",
 "insert": "keyword",
 "intersect": "keyword",
 "interval": "keyword",
 "into": "keyword",
 "is": "keyword",
 "join": "keyword",
 "lateral": "keyword",
 "left": "keyword",
 "like": "keyword",
 "limit": "keyword",
 "listen": "keyword",
 "merge": "keyword",
 "natural": "keyword",
 "not": "keyword",
 "nothing": "keyword",
 "notify": "keyword",
 "null": "keyword",
 "offset": "keyword",
 "on": "keyword",
 "or": "keyword",
 "order": "keyword",
 "outer": "keyword",
 "over": "keyword",
 "partition": "keyword",
 "perform": "keyword",
 "primary": "keyword",
 "raise": "keyword",
 "references": "keyword",
 "refresh": "keyword",
 "return": "keyword",
 "returning": "keyword",
 "returns": "keyword",
 "right": "keyword",
 "rollback": "keyword",
 "select": "keyword",
 "set": "keyword",
 "table": "keyword",
 "then": "keyword",
 "to": "keyword",
 "trigger": "keyword",
 "true": "keyword",
 "truncate": "keyword",
 "union": "keyword",
 "unique": "keyword",
 "update": "keyword",
 "using": "keyword",
 "vacuum": "keyword",
 "values": "keyword",
 "view": "keyword",
 "when": "keyword",
 "where": "keyword",
 "with": "keyword",
 "df.as": "call",
 "df.await_instance": "call",
 "df.break": "call",
 "df.call_child": "call",
 "df.cancel": "call",
 "df.clearvars": "call",
 "df.explain": "call",
 "df.getvar": "call",
 "df.grant_usage": "call",
 "df.http": "call",
 "df.http_multipart": "call",
 "df.if": "call",
 "df.if_rows": "call",
 "df.instance_executions": "call",
 "df.instance_info": "call",
 "df.instance_nodes": "call",
 "df.join": "call",
 "df.join3": "call",
 "df.list_instances": "call",
 "df.loop": "call",
 "df.metrics": "call",
 "df.race": "call",
 "df.result": "call",
 "df.revoke_usage": "call",
 "df.run": "call",
 "df.seq": "call",
 "df.set_secret": "call",
 "df.setvar": "call",
 "df.signal": "call",
 "df.sleep": "call",
 "df.sql": "call",
 "df.start": "call",
 "df.status": "call",
 "df.target_database": "call",
 "df.unset_secret": "call",
 "df.unsetvar": "call",
 "df.version": "call",
 "df.wait_for_completion": "call",
 "df.wait_for_schedule": "call",
 "df.wait_for_signal": "call",
 "df.waiting": "call"
};
const TAGS = {
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
 "text": null
};
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
