// Correcting a mask: brush, eraser, polygon and fill, with undo and redo. Strokes change the ids in place; what they
// changed is kept as places and the ids before.

const TOOLS = [
  ["move", "Move", "look around"],
  ["brush", "Brush", "paint the class"],
  ["eraser", "Eraser", "paint the background"],
  ["polygon", "Polygon", "click corners; Enter or a double click closes it, Escape drops it"],
  ["fill", "Fill", "give a connected area the class"],
];
const MOST_STEPS = 100;

// `map`: values, width and height of the mask; `eraser`: the id that erasing leaves; `changed()` is called after every
// change.
function makeEditor(map, { eraser, classes }, changed) {
  const done = [], undone = [];
  let stroke = null, last = null, corners = [];
  const editor = {
    tool: "move",
    chosen: Math.min(classes.length - 1, eraser === 0 ? 1 : 0),
    radius: 8,
    dirty: false,
    get corners() {
      return corners;
    },
    get canUndo() {
      return done.length > 0;
    },
    get canRedo() {
      return undone.length > 0;
    },
    undo: () => swap(done, undone),
    redo: () => swap(undone, done),
    // `point` in pixels of the mask.
    press(point) {
      if (editor.tool === "move") return false;
      if (editor.tool === "polygon") {
        corners.push(point);
        changed();
        return true;
      }
      stroke = new Map();
      if (editor.tool === "fill") flood(map, point, (i) => set(i, editor.chosen));
      else disc(point);
      last = point;
      changed();
      return true;
    },
    drag(point) {
      if (!stroke || editor.tool === "fill" || !last) return;
      const steps = Math.ceil(Math.hypot(point.x - last.x, point.y - last.y) / Math.max(1, editor.radius / 2));
      for (let step = 1; step <= steps; step++) {
        const share = step / steps;
        disc({ x: last.x + (point.x - last.x) * share, y: last.y + (point.y - last.y) * share });
      }
      last = point;
      changed();
    },
    release() {
      if (stroke) keep(stroke);
      stroke = last = null;
    },
    // Take back what the finger that is down has done, which turned out to be one of two.
    retract() {
      if (stroke) for (const [i, before] of stroke) map.values[i] = before;
      else if (editor.tool === "polygon") corners.pop();
      stroke = last = null;
      changed();
    },
    cancel() {
      corners = [];
      editor.retract();
    },
    close() {
      if (corners.length > 2) {
        stroke = new Map();
        polygon(map, corners, (i) => set(i, editor.chosen));
        keep(stroke);
      }
      stroke = null;
      corners = [];
      changed();
    },
  };

  function set(i, id) {
    if (map.values[i] === id) return;
    if (!stroke.has(i)) stroke.set(i, map.values[i]);
    map.values[i] = id;
  }

  function disc({ x, y }) {
    const id = editor.tool === "eraser" ? eraser : editor.chosen;
    const r = editor.radius;
    const top = Math.max(0, Math.floor(y - r)), bottom = Math.min(map.height - 1, Math.ceil(y + r));
    for (let row = top; row <= bottom; row++) {
      const half = r * r - (row + 0.5 - y) ** 2;
      if (half < 0) continue;
      const from = Math.max(0, Math.round(x - Math.sqrt(half)));
      const to = Math.min(map.width, Math.max(from + 1, Math.round(x + Math.sqrt(half))));
      for (let column = from; column < to; column++) set(row * map.width + column, id);
    }
  }

  function keep(changes) {
    if (!changes.size) return;
    done.push({ places: Uint32Array.from(changes.keys()), ids: Uint8Array.from(changes.values()) });
    if (done.length > MOST_STEPS) done.shift();
    undone.length = 0;
    editor.dirty = true;
    changed();
  }

  // Put back what a step found, and keep what it made for the way back.
  function swap(from, to) {
    const step = from.pop();
    if (!step) return;
    const now = Uint8Array.from(step.places, (i) => map.values[i]);
    step.places.forEach((i, n) => (map.values[i] = step.ids[n]));
    to.push({ places: step.places, ids: now });
    editor.dirty = true;
    changed();
  }
  return editor;
}

// The pixels of one id that hang together edge to edge with the one at a point.
function flood({ values, width, height }, { x, y }, take) {
  const start = Math.floor(y) * width + Math.floor(x), id = values[start];
  const seen = new Uint8Array(values.length), waiting = [start];
  seen[start] = 1;
  const found = [];
  while (waiting.length) {
    const i = waiting.pop(), column = i % width;
    found.push(i);
    const near = [column ? i - 1 : -1, column < width - 1 ? i + 1 : -1, i - width, i + width];
    for (const next of near) {
      if (next < 0 || next >= width * height || seen[next] || values[next] !== id) continue;
      seen[next] = 1;
      waiting.push(next);
    }
  }
  found.forEach(take);
}

// The pixels whose middle lies inside of an outline, by the even-odd rule.
function polygon({ width, height }, corners, take) {
  const rows = corners.map(({ y }) => y);
  const top = Math.max(0, Math.floor(Math.min(...rows))), bottom = Math.min(height - 1, Math.ceil(Math.max(...rows)));
  for (let row = top; row <= bottom; row++) {
    const y = row + 0.5, crossings = [];
    corners.forEach((one, n) => {
      const other = corners[(n + 1) % corners.length];
      if (one.y <= y === other.y <= y) return;
      crossings.push(one.x + ((y - one.y) / (other.y - one.y)) * (other.x - one.x));
    });
    crossings.sort((a, b) => a - b);
    for (let n = 0; n + 1 < crossings.length; n += 2) {
      const from = Math.max(0, Math.ceil(crossings[n] - 0.5)), to = Math.min(width, Math.ceil(crossings[n + 1] - 0.5));
      for (let column = from; column < to; column++) take(row * width + column);
    }
  }
}

// The brush under the pointer, or the corners set so far.
function drawTool(context, editor, point, picture, at) {
  const cell = (picture.width / picture.maskWidth) * at.scale;
  context.lineWidth = 2;
  context.strokeStyle = "#FFFFFF";
  if (["brush", "eraser"].includes(editor.tool) && point) {
    context.beginPath();
    context.arc((point.x - at.left) * at.scale, (point.y - at.top) * at.scale, editor.radius * cell, 0, 2 * Math.PI);
    context.stroke();
  }
  if (!editor.corners.length) return;
  context.beginPath();
  for (const { x, y } of editor.corners) context.lineTo(x * cell - at.left * at.scale, y * cell - at.top * at.scale);
  if (point) context.lineTo((point.x - at.left) * at.scale, (point.y - at.top) * at.scale);
  context.stroke();
  for (const { x, y } of editor.corners) {
    context.strokeRect(x * cell - at.left * at.scale - 3, y * cell - at.top * at.scale - 3, 6, 6);
  }
}
