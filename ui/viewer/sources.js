// What can be laid over the picture: a mask as it is, or what is worked out of two. Each is a map of small numbers as
// large as the mask, the entries that its legend lists, and what a person should know of it.

const IGNORE = 255;
// Colours that stay apart for people who see colours otherwise (Okabe and Ito 2008).
const RIGHT = "#009E73", TOO_MUCH = "#D55E00", MISSED = "#0072B2", APART = "#CC79A7";

// The entries of a mask: its classes, what it ignores, and ids that no class has, each with its share of the pixels.
function maskSource(layer, classes) {
  const { values } = layer;
  const counts = count(values);
  const entries = classes.map((each, id) => ({ ...each, id, hidden: each.name === "background" }));
  for (let id = classes.length; id < 256; id++) {
    if (!counts[id]) continue;
    if (id === IGNORE) entries.push({ id, name: "ignored", colour: "#9B9B9B", hatched: true, hidden: true });
    else entries.push({ id, name: `unknown (${id})`, colour: "#FF00FF", hatched: true });
  }
  return { name: layer.name, values, entries: withShares(entries, counts, values.length), instances: layer.instances };
}

// Right, too much and missed of one class, or of all of them, where truth is known.
function errorSource(truth, layer, classes, chosen) {
  const values = new Uint8Array(truth.values.length);
  for (let i = 0; i < values.length; i++) {
    const is = truth.values[i], said = layer.values[i];
    if (is === IGNORE) continue;
    if (chosen === null) values[i] = is === said ? 0 : 2;
    else if (is === chosen) values[i] = said === chosen ? 1 : 3;
    else if (said === chosen) values[i] = 2;
  }
  const name = chosen === null ? "any class" : classes[chosen].name;
  const entries =
    chosen === null
      ? [{ id: 2, name: "wrong", colour: TOO_MUCH }]
      : [
          { id: 1, name: `${name}, found`, colour: RIGHT },
          { id: 2, name: `${name} where there is none`, colour: TOO_MUCH },
          { id: 3, name: `${name}, missed`, colour: MISSED },
        ];
  return { name: `Errors of ${layer.name}`, values, entries: withShares(entries, count(values), values.length) };
}

// Where two predictions say different things.
function disagreementSource(one, other) {
  const values = new Uint8Array(one.values.length);
  for (let i = 0; i < values.length; i++) values[i] = one.values[i] === other.values[i] ? 0 : 1;
  const entries = [{ id: 1, name: `${one.name} and ${other.name} differ`, colour: APART }];
  return { name: "Disagreement", values, entries: withShares(entries, count(values), values.length) };
}

// A map of numbers, 0 to 255, in the colours of a ramp: it has no entries to switch.
function heatSource(heat, ramp) {
  return { name: heat.name, values: heat.values, entries: [], ramp };
}

function count(values) {
  const counts = new Float64Array(256);
  for (let i = 0; i < values.length; i++) counts[values[i]]++;
  return counts;
}

function withShares(entries, counts, total) {
  return entries.map((entry) => ({ ...entry, share: counts[entry.id] / total }));
}

// Instance numbers with their middles and sizes, in one pass.
function instanceTable({ values, width }) {
  const found = new Map();
  for (let i = 0; i < values.length; i++) {
    const number = values[i];
    if (!number) continue;
    let one = found.get(number);
    if (!one) found.set(number, (one = { number, x: 0, y: 0, pixels: 0 }));
    one.x += i % width;
    one.y += (i / width) | 0;
    one.pixels++;
  }
  for (const one of found.values()) {
    one.x = one.x / one.pixels + 0.5;
    one.y = one.y / one.pixels + 0.5;
  }
  return found;
}

// The colour of every number of a map as a canvas stores it (bytes red, green, blue, alpha), 0 where it is not drawn;
// those to be hatched are listed apart.
function colourTable(entries) {
  const table = new Uint32Array(256), hatched = new Uint8Array(256);
  for (const entry of entries) {
    if (entry.hidden) continue;
    table[entry.id] = stored(entry.colour);
    hatched[entry.id] = entry.hatched ? 1 : 0;
  }
  return { table, hatched };
}

function rampTable(ramp) {
  return { table: Uint32Array.from(ramp, stored), hatched: new Uint8Array(256) };
}

function stored(colour) {
  const rgb = parseInt(colour.slice(1), 16);
  return (0xff << 24) | ((rgb & 0xff) << 16) | (rgb & 0xff00) | (rgb >> 16);
}
