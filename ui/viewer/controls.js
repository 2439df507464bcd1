// The row of controls above the panes and the legend below. Names come from files: they are only ever set as text.

function element(kind, attributes = {}, ...children) {
  const made = document.createElement(kind);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

// A row of buttons of which one is pressed.
function choice(label, options, chosen, pick) {
  return element(
    "div",
    { class: "choice", role: "group", "aria-label": label },
    ...options.map(([value, text, title]) =>
      element(
        "button",
        { type: "button", title: title ?? null, "aria-pressed": String(value === chosen), onclick: () => pick(value) },
        text,
      ),
    ),
  );
}

function selection(label, options, chosen, pick) {
  const list = element(
    "select",
    { "aria-label": label, onchange: (event) => pick(Number(event.target.value)) },
    ...options.map(([value, text]) => element("option", { value, selected: value === chosen }, text)),
  );
  return element("label", { class: "selection" }, element("span", {}, label), list);
}

function slider(label, value, { least, most, step, unit }, slide) {
  const said = element("output", {}, `${value} ${unit}`);
  const range = element("input", {
    type: "range", min: least, max: most, step, value, "aria-label": label,
    oninput: (event) => {
      said.textContent = `${event.target.value} ${unit}`;
      slide(Number(event.target.value));
    },
  });
  return element("label", { class: "slider" }, element("span", {}, label), range, said);
}

function toggle(label, pressed, press, title = null) {
  return element("button", { type: "button", title, "aria-pressed": String(pressed), onclick: press }, label);
}

// The classes of a source with their shares, each a switch.
function legend(source, flip) {
  return element(
    "div",
    { class: "legend", role: "group", "aria-label": `Legend of ${source.name}` },
    ...source.entries.map((entry, index) => {
      const swatch = element("span", { class: entry.hatched ? "swatch hatched" : "swatch" });
      swatch.style.setProperty("--colour", entry.colour);
      const box = element("input", { type: "checkbox", checked: !entry.hidden, onchange: () => flip(index) });
      return element(
        "label",
        { class: "entry" },
        box,
        swatch,
        element("span", { class: "name" }, entry.name),
        element("span", { class: "share" }, percent(entry.share)),
      );
    }),
  );
}

// The colours of a map of numbers from 0 to 1.
function rampLegend({ name, ramp }) {
  const bar = element("span", { class: "ramp" });
  bar.style.background = `linear-gradient(to right, ${ramp.filter((_, i) => i % 15 === 0).join(", ")})`;
  return element("div", { class: "legend", role: "group", "aria-label": `Legend of ${name}` }, "0 %", bar, "100 %");
}

function percent(share) {
  const value = 100 * share;
  return `${value === 0 || value >= 10 ? value.toFixed(0) : value >= 1 ? value.toFixed(1) : value.toFixed(2)} %`;
}
