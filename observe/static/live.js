// The live picture of a run: drawn once by Python, its boxes coloured here as their states change.
//
// Traits: svg (the picture), style (CSS), states (id of a box -> state), sentence; from here: rendered, visible (is it on
// anybody's screen?).
// Text of the program comes as SVG that Graphviz escaped, and as plain text; nothing is ever read as HTML.

const STATES = ["pending", "running", "waiting", "completed", "failed", "skipped"];

function draw(model, root) {
  const found = new DOMParser().parseFromString(model.get("svg"), "image/svg+xml").documentElement;
  root.replaceChildren(found.nodeName === "svg" ? document.importNode(found, true) : "");
}

function colour(model, root) {
  for (const [id, state] of Object.entries(model.get("states"))) {
    const box = root.querySelector(`#pw_${CSS.escape(id)}`);
    if (!box || box.classList.contains(`state_${state}`)) continue;
    box.classList.remove(...STATES.map((each) => `state_${each}`));
    box.classList.add(`state_${state}`);
    const link = box.querySelector("a");
    const words = link && link.getAttribute("xlink:title");
    if (words) link.setAttribute("xlink:title", words.replace(/\n\[\w+\]$/, "") + `\n[${state}]`);
  }
}

function render({ model, el }) {
  const style = document.createElement("style");
  const picture = document.createElement("div");
  const sentence = document.createElement("p");
  el.classList.add("pgweave", "pgw-live");
  picture.setAttribute("role", "img");
  sentence.setAttribute("role", "status"); // screen readers say it when it changes
  el.replaceChildren(style, picture, sentence);

  const redraw = () => {
    style.textContent = model.get("style");
    draw(model, picture);
    recolour();
  };
  const recolour = () => colour(model, picture);
  const say = () => {
    sentence.textContent = model.get("sentence");
    picture.setAttribute("aria-label", model.get("sentence"));
  };
  redraw();
  say();
  model.on("change:svg", redraw);
  model.on("change:states", recolour);
  model.on("change:sentence", say);

  const tell = (trait, value) => {
    if (value === model.get(trait)) return;
    model.set(trait, value);
    model.save_changes();
  };
  tell("rendered", true);
  const seen = new IntersectionObserver((entries) => tell("visible", entries.some((entry) => entry.isIntersecting)));
  seen.observe(el);
  return () => {
    seen.disconnect();
    tell("visible", false);
    model.off("change:svg", redraw);
    model.off("change:states", recolour);
    model.off("change:sentence", say);
  };
}

export default { render };
