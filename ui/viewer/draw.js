// Drawing a pane. The mask is looked up for each pixel of the screen, not drawn and then scaled: a frame costs the same
// whatever the picture's size, outlines stay as thin as they are, and values are never mixed.

// One pane: a canvas, and the overlays that were drawn for it last, by their source.
function makePane(canvas) {
  return { canvas, context: canvas.getContext("2d"), kept: new Map() };
}

// Draw the picture and a source over it, right of `from` and left of `to` (pixels of the pane).
function drawPane(pane, picture, source, settings, camera, from = 0, to = pane.canvas.width) {
  const { canvas, context } = pane;
  const { width, height } = canvas;
  const at = place(camera, picture, width, height);
  context.save();
  context.beginPath();
  context.rect(from, 0, to - from, height);
  context.clip();
  context.clearRect(from, 0, to - from, height);
  context.imageSmoothingEnabled = at.scale < 3;
  context.imageSmoothingQuality = "medium";
  const box = [-at.left * at.scale, -at.top * at.scale, picture.width * at.scale, picture.height * at.scale];
  context.drawImage(picture.bitmap, ...box);
  if (picture.detail) {
    const { x, y, width: w, height: h, bitmap } = picture.detail;
    context.drawImage(bitmap, (x - at.left) * at.scale, (y - at.top) * at.scale, w * at.scale, h * at.scale);
  }
  if (source) {
    const overlay = overlayOf(pane, picture, source, settings, at);
    context.globalAlpha = settings.opacity;
    context.imageSmoothingEnabled = false;
    context.drawImage(overlay, 0, 0);
    context.globalAlpha = 1;
    if (settings.numbered && source.instances) drawNumbers(context, source.instances, at, width, height);
  }
  context.restore();
  return at;
}

// The source's colours at the size of the screen, made anew only when what they show has changed.
function overlayOf(pane, picture, source, settings, at) {
  const { width, height } = pane.canvas;
  const { revision } = source;
  const wanted = [source, revision, settings.revision, at.scale, at.left, at.top, width, height];
  const kept = pane.kept.get(source);
  if (kept && kept.wanted.every((value, i) => value === wanted[i])) return kept.canvas;
  if (pane.kept.size > 2) pane.kept.clear();
  const canvas = kept?.canvas ?? document.createElement("canvas");
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  colourise(new Uint32Array(image.data.buffer), picture, source, settings, at, width, height);
  context.putImageData(image, 0, 0);
  pane.kept.set(source, { wanted, canvas });
  return canvas;
}

function colourise(out, picture, source, settings, at, width, height) {
  const { table, hatched } = source.ramp ? rampTable(source.ramp) : colourTable(source.entries);
  const map = source.values, across = picture.maskWidth, down = picture.maskHeight;
  const columns = lookups(at.left, at.scale, width, picture.width, across);
  const rows = lookups(at.top, at.scale, height, picture.height, down);
  const objects = settings.numbered && source.instances ? source.instances.values : null;
  const contour = settings.contour && !source.ramp; // numbers have no outlines
  const outlines = contour || objects;
  for (let row = 0, p = 0; row < height; row++) {
    const line = rows[row] < 0 ? -1 : rows[row] * across;
    for (let column = 0; column < width; column++, p++) {
      if (line < 0 || columns[column] < 0) continue;
      const i = line + columns[column], id = map[i];
      let colour = table[id];
      if (colour && hatched[id] && ((row + column) >> 2) & 1) colour = 0;
      if (outlines && row > 1 && column > 1 && columns[column - 2] >= 0 && rows[row - 2] >= 0) {
        // Two pixels of the screen are as thick as an outline is.
        const west = line + columns[column - 2], north = rows[row - 2] * across + columns[column];
        const edge = contour && (map[west] !== id || map[north] !== id);
        if (contour) colour = edge ? colour || table[map[west]] || table[map[north]] : 0;
        if (objects && (objects[west] !== objects[i] || objects[north] !== objects[i])) colour = OUTLINE;
      } else if (contour) colour = 0;
      out[p] = colour;
    }
  }
}

// The outline of an object: white, which no class has.
const OUTLINE = 0xffffffff;

// For each pixel along one side of the pane the pixel of the mask that lies there, -1 outside of the picture.
function lookups(start, scale, length, side, cells) {
  const found = new Int32Array(length);
  for (let i = 0; i < length; i++) {
    const value = start + (i + 0.5) / scale;
    found[i] = value < 0 || value >= side ? -1 : Math.min(cells - 1, Math.floor((value * cells) / side));
  }
  return found;
}

function drawNumbers(context, instances, at, width, height) {
  context.font = `${Math.round(11 * (window.devicePixelRatio || 1))}px sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.lineWidth = 3;
  context.strokeStyle = "#000000";
  context.fillStyle = "#FFFFFF";
  for (const { number, x, y, pixels } of instances.table.values()) {
    const px = (x * instances.across - at.left) * at.scale, py = (y * instances.across - at.top) * at.scale;
    const large = Math.sqrt(pixels) * instances.across * at.scale > 26;
    if (!large || px < 0 || py < 0 || px > width || py > height) continue;
    context.strokeText(number, px, py);
    context.fillText(number, px, py);
  }
}

// A frame around a part of the picture, yellow between black so that it is seen on anything.
function drawFrame(context, { x, y, width, height }, at) {
  const ratio = window.devicePixelRatio || 1, gap = 3 * ratio;
  const box = [(x - at.left) * at.scale - gap, (y - at.top) * at.scale - gap, width * at.scale + 2 * gap, height * at.scale + 2 * gap];
  for (const [colour, thick] of [["#000000", 5], ["#F0E442", 2.5]]) {
    Object.assign(context, { strokeStyle: colour, lineWidth: thick * ratio });
    context.strokeRect(...box);
  }
}

// A bar of a round length where the size of a pixel is known.
function scaleBar(micrometres, scale, most) {
  if (!micrometres) return null;
  const longest = (most / scale) * micrometres;
  const power = 10 ** Math.floor(Math.log10(longest));
  const length = [5, 2, 1].map((step) => step * power).find((value) => value <= longest) ?? power;
  const text = length >= 1000 ? `${length / 1000} mm` : `${Number(length.toPrecision(1))} µm`;
  return { pixels: (length / micrometres) * scale, text };
}
