// Masks and instance maps arrive as PNGs whose values are what counts, so they are decoded here: a canvas would give
// colours, eight bits deep, and some browsers blur what is read back from one.

// The parts of a message: a little-endian length, JSON of that length, and the bytes that it points to.
function unpack(message) {
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  const length = view.getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(message.subarray(4, 4 + length)));
  const rest = message.subarray(4 + length);
  const bytes = (part) => rest.subarray(part.offset, part.offset + part.length);
  return { header, bytes, rest };
}

async function inflate(parts) {
  const stream = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// A PNG with one channel of 8 or 16 bits, not interlaced: { width, height, values }.
async function decodePng(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let width = 0, height = 0, depth = 0;
  const parts = [];
  for (let at = 8; at + 8 <= bytes.length; ) {
    const length = view.getUint32(at);
    const kind = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (kind === "IHDR") {
      width = view.getUint32(at + 8);
      height = view.getUint32(at + 12);
      depth = bytes[at + 16];
      if ((depth !== 8 && depth !== 16) || ![0, 3].includes(bytes[at + 17]) || bytes[at + 20]) {
        throw new Error("not a mask");
      }
    } else if (kind === "IDAT") parts.push(bytes.subarray(at + 8, at + 8 + length));
    at += 12 + length;
  }
  const step = depth / 8;
  const raw = unfilter(await inflate(parts), width * step, height, step);
  if (step === 1) return { width, height, values: raw };
  const values = new Uint16Array(width * height);
  for (let i = 0; i < values.length; i++) values[i] = (raw[2 * i] << 8) | raw[2 * i + 1];
  return { width, height, values };
}

// Undo the filter that each row names in its first byte (PNG specification, section 9).
function unfilter(packed, stride, height, step) {
  if (packed.length !== (stride + 1) * height) throw new Error("a mask that is cut off");
  const out = new Uint8Array(stride * height);
  for (let row = 0; row < height; row++) {
    const filter = packed[row * (stride + 1)];
    const from = row * (stride + 1) + 1, to = row * stride, above = to - stride;
    if (filter === 0) {
      out.set(packed.subarray(from, from + stride), to);
      continue;
    }
    for (let i = 0; i < stride; i++) {
      const left = i >= step ? out[to + i - step] : 0;
      const up = row ? out[above + i] : 0;
      const corner = row && i >= step ? out[above + i - step] : 0;
      let guess = 0;
      if (filter === 1) guess = left;
      else if (filter === 2) guess = up;
      else if (filter === 3) guess = (left + up) >> 1;
      else guess = paeth(left, up, corner);
      out[to + i] = packed[from + i] + guess;
    }
  }
  return out;
}

function paeth(left, up, corner) {
  const p = left + up - corner;
  const a = Math.abs(p - left), b = Math.abs(p - up), c = Math.abs(p - corner);
  return a <= b && a <= c ? left : b <= c ? up : corner;
}

// Class ids to the bytes of a compressed stream, for the way back.
async function deflate(values) {
  const stream = new Blob([values]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
