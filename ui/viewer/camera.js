// Which part of a picture a pane shows. Viewers of one link group look at the same part.

// `x`, `y`: the picture's point in the middle of the pane, as shares of its sides; `zoom`: how much larger than fitting.
const LIMIT = { out: 1, in: 60 };
const GROUPS = (window.segmodelsViewers ??= new Map());

function makeCamera(link, changed) {
  const camera = { x: 0.5, y: 0.5, zoom: 1 };
  const group = link ? (GROUPS.get(link) ?? GROUPS.set(link, new Set()).get(link)) : new Set();
  const member = { camera, changed };
  for (const other of group) Object.assign(camera, other.camera);
  group.add(member);
  return {
    camera,
    move(to) {
      const next = clamped({ ...camera, ...to });
      for (const other of group.size ? group : [member]) {
        Object.assign(other.camera, next);
        other.changed();
      }
    },
    leave: () => group.delete(member),
  };
}

function clamped(camera) {
  const zoom = Math.min(LIMIT.in, Math.max(LIMIT.out, camera.zoom));
  const inside = (value) => Math.min(1 - 0.25 / zoom, Math.max(0.25 / zoom, value));
  return zoom === 1 ? { x: 0.5, y: 0.5, zoom } : { x: inside(camera.x), y: inside(camera.y), zoom };
}

// How the picture lies in a pane of so many pixels: `scale` pixels of the pane a pixel of the picture, and the
// picture's point at the pane's corner.
function place(camera, picture, width, height) {
  const scale = Math.min(width / picture.width, height / picture.height) * camera.zoom;
  return {
    scale,
    left: camera.x * picture.width - width / 2 / scale,
    top: camera.y * picture.height - height / 2 / scale,
  };
}

// The camera after zooming by a factor with one point of the pane held where it is.
function zoomedAt(camera, picture, width, height, px, py, factor) {
  const before = place(camera, picture, width, height);
  const zoom = Math.min(LIMIT.in, Math.max(LIMIT.out, camera.zoom * factor));
  const scale = (before.scale / camera.zoom) * zoom;
  const x = before.left + px / before.scale, y = before.top + py / before.scale;
  return {
    zoom,
    x: (x - (px - width / 2) / scale) / picture.width,
    y: (y - (py - height / 2) / scale) / picture.height,
  };
}

// Where a camera has to go so that a part of the picture is seen well: there is some of what lies around it, and its
// pixels are not too large. Null where it is seen well already.
function goingTo(box, camera, picture, width, height) {
  const at = place(camera, picture, width, height);
  const inside = box.x >= at.left && box.y >= at.top && box.x + box.width <= at.left + width / at.scale &&
    box.y + box.height <= at.top + height / at.scale;
  if (inside && Math.max(box.width, box.height) * at.scale > width / 12) return null;
  const scale = Math.min(width / box.width / 3, height / box.height / 3, 12);
  return {
    x: (box.x + box.width / 2) / picture.width,
    y: (box.y + box.height / 2) / picture.height,
    zoom: (scale / at.scale) * camera.zoom,
  };
}
