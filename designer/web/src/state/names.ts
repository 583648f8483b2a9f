// What names look like: the only place of the page that says so.

/** A result name, as the source of a regular expression; the grammar's rule for `|=> 'name'` is the same. */
export const RESULT_NAME = "[A-Za-z_][A-Za-z0-9_]*";

const WHOLE_NAME = new RegExp(`^${RESULT_NAME}$`);

export const isResultName = (text: string): boolean => WHOLE_NAME.test(text);

/** What SQL reads: `$name`, `$name.column` and `$name.*`, each also with a `?` at its end, and `{variable}`. */
export const REFERENCE = new RegExp(`\\$${RESULT_NAME}(?:\\.(?:\\*|${RESULT_NAME}))?\\??|\\{${RESULT_NAME}\\}`, "g");
