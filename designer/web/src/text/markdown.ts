// Markdown from Python as DOM nodes: paragraphs, `code`, **bold** and fenced blocks. Everything else is shown as plain
// text: nothing is parsed as HTML, and no links are made.

const INLINE = /`([^`]+)`|\*\*([^*]+)\*\*/g;

function inline(into: HTMLElement, text: string): void {
  let at = 0;
  for (const found of text.matchAll(INLINE)) {
    into.append(text.slice(at, found.index));
    const piece = document.createElement(found[1] === undefined ? "strong" : "code");
    piece.textContent = found[1] ?? found[2] ?? "";
    into.append(piece);
    at = found.index + found[0].length;
  }
  into.append(text.slice(at));
}

export function markdown(text: string): HTMLElement {
  const whole = document.createElement("div");
  whole.className = "pw-markdown";
  text.split(/^```.*$/m).forEach((part, position) => {
    if (position % 2 === 1) {
      const code = document.createElement("pre");
      code.textContent = part.replace(/^\n|\n$/g, "");
      whole.append(code);
      return;
    }
    for (const paragraph of part.split(/\n{2,}/)) {
      if (paragraph.trim() === "") continue;
      const block = document.createElement("p");
      inline(block, paragraph.trim());
      whole.append(block);
    }
  });
  return whole;
}
