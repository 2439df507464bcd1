// A grid of small pictures under their masks. Opacity and classes change in the browser; a click opens a picture.

const GRIDS = new WeakMap();

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector("[data-grid]");
  const grid = GRIDS.get(root) ?? makeGrid(root);
  GRIDS.set(root, grid);
  grid.open = (id) => setTriggerValue("opened", id);
  grid.load(data);
}

function makeGrid(root) {
  const grid = { opacity: 0.5, open: () => {}, tiles: [], identity: null };
  const bar = element("div", { class: "bar", role: "toolbar", "aria-label": "Masks" });
  const cells = element("div", { class: "cells", role: "list" });
  root.replaceChildren(bar, cells);
  let hidden = null, sources = [];

  grid.load = async (message) => {
    const { header, bytes } = unpack(message);
    if (grid.identity === header.key) return;
    grid.identity = header.key;
    const names = JSON.stringify(header.classes);
    if (grid.names !== names) {
      grid.names = names;
      hidden = new Set(header.classes.flatMap(({ name }, id) => (name === "background" ? [id] : [])));
      buildBar(header.classes);
    }
    sources = [];
    cells.replaceChildren(...header.tiles.map((tile) => cell(tile, bytes, header)));
    root.dataset.ready = header.key;
  };

  function buildBar(classes) {
    const boxes = classes.slice(0, 24).map(({ name, colour }, id) => {
      const swatch = element("span", { class: "swatch" });
      swatch.style.setProperty("--colour", colour);
      const box = element("input", {
        type: "checkbox", checked: !hidden.has(id),
        onchange: (event) => {
          if (event.target.checked) hidden.delete(id);
          else hidden.add(id);
          for (const draw of sources) draw();
        },
      });
      return element("label", { class: "entry" }, box, swatch, element("span", { class: "name" }, name));
    });
    const opacity = slider("Opacity", Math.round(100 * grid.opacity), { least: 0, most: 100, step: 1, unit: "%" }, (value) => {
      grid.opacity = value / 100;
      cells.style.setProperty("--opacity", grid.opacity);
    });
    bar.replaceChildren(opacity, element("div", { class: "legend" }, ...boxes));
    cells.style.setProperty("--opacity", grid.opacity);
  }

  function cell(tile, bytes, header) {
    const caption = element("span", { class: "caption" }, tile.caption);
    if (tile.problem) {
      return element("div", { class: "tile broken", role: "listitem" }, element("span", {}, tile.problem), caption);
    }
    const url = URL.createObjectURL(new Blob([bytes(tile.image)], { type: tile.image.type }));
    const image = element("img", { src: url, alt: tile.said, onload: () => URL.revokeObjectURL(url) });
    const canvas = element("canvas", { "aria-hidden": "true" });
    const frame = element("span", { class: "frame" }, image, canvas);
    decodePng(bytes(tile.mask)).then((mask) => {
      const entries = maskSource({ name: "", values: mask.values }, header.classes).entries;
      const draw = () => {
        for (const entry of entries) if (entry.id < header.classes.length) entry.hidden = hidden.has(entry.id);
        paint(canvas, mask, entries);
      };
      sources.push(draw);
      draw();
    });
    const open = element("button", { type: "button", class: "tile", title: tile.id, onclick: () => grid.open(tile.id) }, frame, caption);
    return element("div", { role: "listitem" }, open);
  }
  return grid;
}

function paint(canvas, { values, width, height }, entries) {
  Object.assign(canvas, { width, height });
  const { table, hatched } = colourTable(entries);
  const context = canvas.getContext("2d"), image = context.createImageData(width, height);
  const out = new Uint32Array(image.data.buffer);
  for (let i = 0; i < out.length; i++) {
    const id = values[i];
    out[i] = hatched[id] && ((i % width) + ((i / width) | 0)) & 4 ? 0 : table[id];
  }
  context.putImageData(image, 0, 0);
}
