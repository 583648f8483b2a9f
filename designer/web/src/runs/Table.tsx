// A result as a table or as text, and an error.

import type { Rows } from "../protocol";

export function Result({ rows }: { rows: Rows }) {
  if (rows.text !== null) return <pre className="pw-full">{rows.text}</pre>;
  return (
    <>
      <p className="pw-hint">
        {rows.row_count === 1 ? "1 row" : `${rows.row_count.toLocaleString()} rows`}
        {rows.cut && `, the first ${rows.rows.length} shown`}
      </p>
      <div className="pw-tablebox" tabIndex={0} role="region" aria-label="Result rows">
        <table className="pw-table">
          <thead>
            <tr>
              {rows.columns.map((column, position) => (
                <th key={position}>{column}</th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.rows.map((row, line) => (
              <tr key={line}>
                {row.map((value, position) => (
                  <td key={position} title={value ?? undefined} className={value === null ? "pw-null" : undefined}>
                    {value ?? "NULL"}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

/** An error with an excerpt of the program keeps its line breaks, so that the caret stays in its column; one line is wrapped. */
export function ErrorText({ text }: { text: string }) {
  return <pre className={text.includes("\n") ? "pw-errortext pw-excerpt" : "pw-errortext"}>{text}</pre>;
}
