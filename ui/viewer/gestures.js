// Pointer, wheel and keys on the panes: look closer, move, read what is under the pointer, click.

const CLICK = 5; // pixels that a finger may slip in a click
const KEYS = "Arrow keys move, + and - zoom, 0 fits, o and p change the opacity, c outlines, n numbers, 1 to 9 toggle a class.";

// `stage` holds the panes. `on` has: size() of a pane, picture(), camera(), move(to), hover(point or null),
// click(point), key(name) and stroke(kind, point), which says whether a tool took the pointer.
function listen(stage, on) {
  const pointers = new Map();
  let began = null, pinch = null, painting = false;
  const inPane = (event) => {
    const box = event.target.closest("canvas")?.getBoundingClientRect();
    if (!box) return null;
    const ratio = event.target.width / box.width;
    return { px: (event.clientX - box.left) * ratio, py: (event.clientY - box.top) * ratio, ratio };
  };
  const inPicture = (event) => {
    const here = inPane(event);
    if (!here) return null;
    const { width, height } = on.size();
    const at = place(on.camera(), on.picture(), width, height);
    const x = at.left + here.px / at.scale, y = at.top + here.py / at.scale;
    const picture = on.picture();
    return x < 0 || y < 0 || x >= picture.width || y >= picture.height ? null : { x, y };
  };
  const zoom = (here, factor) => {
    const { width, height } = on.size();
    on.move(zoomedAt(on.camera(), on.picture(), width, height, here.px, here.py, factor));
  };

  const handlers = {
    pointerdown(event) {
      const here = inPane(event);
      if (!here || event.button > 0) return;
      stage.focus({ preventScroll: true });
      pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      const point = inPicture(event);
      painting = pointers.size === 1 && point !== null && on.stroke("down", point);
      if (painting || on.camera().zoom > 1) event.target.setPointerCapture(event.pointerId);
      began = pointers.size === 1 ? { x: event.clientX, y: event.clientY, camera: { ...on.camera() }, point } : null;
      pinch = null;
    },
    pointermove(event) {
      const here = inPane(event);
      if (!pointers.has(event.pointerId)) {
        on.hover(here ? inPicture(event) : null);
        return;
      }
      pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      if (pointers.size === 2) return pinched(event);
      const point = inPicture(event);
      if (painting) {
        if (point) on.stroke("move", point);
      } else if (began && on.camera().zoom > 1) {
        const { width, height } = on.size();
        const { scale } = place(began.camera, on.picture(), width, height);
        const ratio = here?.ratio ?? 1;
        on.move({
          x: began.camera.x - ((event.clientX - began.x) * ratio) / scale / on.picture().width,
          y: began.camera.y - ((event.clientY - began.y) * ratio) / scale / on.picture().height,
        });
      }
      on.hover(point);
    },
    pointerup(event) {
      if (!pointers.delete(event.pointerId)) return;
      const slipped = began && Math.hypot(event.clientX - began.x, event.clientY - began.y);
      if (painting) on.stroke("up", inPicture(event));
      else if (began?.point && slipped < CLICK) on.click(began.point);
      painting = false;
      began = pinch = null;
    },
    pointercancel(event) {
      pointers.delete(event.pointerId);
      if (painting) on.stroke("up", null);
      painting = false;
      began = pinch = null;
    },
    pointerleave: () => on.hover(null),
    dblclick(event) {
      const here = inPane(event);
      if (here && !on.stroke("double", inPicture(event))) zoom(here, 2);
    },
    wheel(event) {
      // The page scrolls as ever until someone has chosen the picture.
      if (!event.ctrlKey && stage.getRootNode().activeElement !== stage) return;
      const here = inPane(event);
      if (!here) return;
      event.preventDefault();
      zoom(here, Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.002)));
    },
    keydown(event) {
      if (event.target !== stage || event.altKey || event.metaKey) return;
      const step = 0.15 / on.camera().zoom;
      const moves = {
        ArrowLeft: { x: on.camera().x - step },
        ArrowRight: { x: on.camera().x + step },
        ArrowUp: { y: on.camera().y - step },
        ArrowDown: { y: on.camera().y + step },
        0: { zoom: 1 },
        "+": { zoom: on.camera().zoom * 1.4 },
        "=": { zoom: on.camera().zoom * 1.4 },
        "-": { zoom: on.camera().zoom / 1.4 },
      };
      if (!event.ctrlKey && event.key in moves) on.move(moves[event.key]);
      else if (!on.key((event.ctrlKey ? "ctrl+" : "") + event.key)) return;
      event.preventDefault();
    },
  };

  function pinched(event) {
    const [one, other] = [...pointers.values()];
    const apart = Math.hypot(one.x - other.x, one.y - other.y);
    if (painting) on.stroke("retract", null);
    painting = false;
    began = null;
    const here = inPane({ target: event.target, clientX: (one.x + other.x) / 2, clientY: (one.y + other.y) / 2 });
    if (pinch && here && apart > 0) zoom(here, apart / pinch);
    pinch = apart;
  }

  for (const [name, handler] of Object.entries(handlers)) {
    stage.addEventListener(name, handler, name === "wheel" ? { passive: false } : undefined);
  }
  return () => {
    for (const [name, handler] of Object.entries(handlers)) stage.removeEventListener(name, handler);
  };
}
