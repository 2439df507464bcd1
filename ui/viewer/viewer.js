// The viewer: one picture, what is laid over it, and the controls. Everything here happens without a rerun.

const VIEWS = new WeakMap();
const MODES = [
  ["one", "Single", "one picture"],
  ["swipe", "Swipe", "two overlays, parted by a line that can be moved"],
  ["side", "Side by side", "two panes that move together"],
];

export default function ({ data, parentElement, setTriggerValue, setStateValue }) {
  const root = parentElement.querySelector("[data-viewer]");
  const view = VIEWS.get(root) ?? makeView(root);
  VIEWS.set(root, view);
  view.report = setTriggerValue;
  view.ask = setStateValue;
  view.load(data);
  return () => {
    view.close();
    VIEWS.delete(root);
  };
}

function makeView(root) {
  const view = {
    mode: "one", first: 0, second: 1, split: 0.5, focus: null, report: () => {}, ask: () => {},
    settings: { opacity: 0.5, contour: false, numbered: true, revision: 0 },
    picture: null, layers: [], heats: [], overlays: [], editor: null, point: null, tiles: null, chosen: [0, 1],
    shown, framed: null, // what is shown now, and the part of the picture that has a frame
    hidden: new Map(), // what was switched on or off, by kind and name: it holds for the next picture too
  };
  const bar = element("div", { class: "bar", role: "toolbar", "aria-label": "View" });
  const tools = element("div", { class: "bar tools", role: "toolbar", "aria-label": "Correct the mask", hidden: true });
  const panes = element("div", { class: "panes" });
  const divider = element("input", {
    class: "divider", type: "range", min: 0, max: 1000, value: 500, "aria-label": "Where the overlays part", hidden: true,
    oninput: (event) => {
      view.split = event.target.value / 1000;
      redraw();
    },
  });
  const scale = element("div", { class: "scale", hidden: true }, element("span"), element("i"));
  const stage = element(
    "div",
    { class: "stage", tabindex: 0, role: "application", "aria-describedby": "keys" },
    panes, scale,
  );
  const readout = element("p", { class: "readout" }, "\u00a0");
  const legends = element("div", { class: "legends" });
  const spoken = element("p", { class: "spoken" });
  const keys = element("p", { class: "spoken", id: "keys" }, KEYS);
  const trouble = element("p", { class: "trouble", role: "alert", hidden: true });
  root.replaceChildren(trouble, bar, tools, stage, divider, readout, legends, spoken, keys);
  let drawn = [], camera = null, frame = 0, stopListening = () => {};
  const asker = makeAsker(view);

  const resized = new ResizeObserver(() => layOut());
  resized.observe(root);

  // A rerun hands over the same again, which must not undo what was painted since; and while one picture is decoded
  // another may come, which is then the one that is wanted.
  view.load = async (message) => {
    const settings = unpack(message), parts = unpack(settings.rest);
    const header = { ...parts.header, ...settings.header };
    view.tiles = header.tiles && { key: header.key, ...header.tiles };
    try {
      if (header.detail) await takePart(header, parts.bytes);
      else if (view.wanted !== header.key) {
        view.wanted = header.key;
        const decoded = view.header?.key === header.key ? null : await decodePicture({ header, bytes: parts.bytes });
        if (view.wanted !== header.key) return;
        trouble.hidden = true;
        if (decoded) take(header, decoded);
      }
      if (view.header?.key === header.key) frameUp(header.focus);
    } catch (error) {
      if (view.wanted !== header.key) return;
      trouble.textContent = `This picture cannot be shown: ${error.message}.`;
      trouble.hidden = false;
    }
    redraw();
  };

  view.close = () => {
    resized.disconnect();
    cancelAnimationFrame(frame);
    asker.stop();
    stopListening();
    camera?.leave();
  };

  // A part of the picture, close up, for what is there already.
  async function takePart({ key, detail }, bytes) {
    if (key !== view.header?.key) return view.ask("window", null);
    const { image, ...where } = detail, name = JSON.stringify(where);
    if (view.picture.detail?.name === name) return;
    const bitmap = await decodeImage(image, bytes);
    if (key === view.header.key) view.picture.detail = { ...where, name, bitmap };
  }

  // The camera goes to what is framed anew, unless that is in sight.
  function frameUp(box) {
    if (JSON.stringify(box) === JSON.stringify(view.framed)) return;
    view.framed = box;
    const { width, height } = drawn[0].canvas;
    const to = box && goingTo(box, camera.camera, view.picture, width, height);
    if (to) camera.move(to);
  }

  function take(header, { picture, layers, heats }) {
    const before = view.header, [corrected] = view.layers;
    // The same mask with other things beside it: what was painted and not saved yet stays.
    const goesOn = view.editor?.dirty && header.edits && header.edits === before.edits &&
      layers[0].values.length === corrected.values.length;
    if (goesOn) layers[0].values = corrected.values;
    Object.assign(view, { header, picture, layers, heats });
    if (!camera || before.link !== header.link) {
      camera?.leave();
      camera = makeCamera(header.link, redraw);
    } else if (!header.link) camera.move({ zoom: 1 });
    if (view.focus >= header.classes.length) view.focus = null;
    begin(header.show);
    view.overlays = makeOverlays(view);
    view.first = chosenOverlay(0);
    view.second = chosenOverlay(1);
    if (!goesOn) view.editor = header.edits ? makeEditor(layers[0], header, edited) : null;
    asker.stop();
    stopListening();
    stopListening = listen(stage, reactions);
    buildControls();
    layOut();
    root.dataset.ready = header.key;
  }

  // What is shown at first; what somebody chose since stays for the pictures that follow.
  function begin({ opacity, mode, first, second }) {
    const wish = JSON.stringify([opacity, mode, first, second]);
    if (view.begun === wish) return;
    view.begun = wish;
    view.mode = mode;
    view.chosen = [first, second];
    view.settings.opacity = opacity;
  }

  // Chosen by a number at first, by the title once somebody chose: not every picture has every overlay.
  function chosenOverlay(side) {
    const wish = view.chosen[side];
    const place = typeof wish === "number" ? wish : view.overlays.findIndex(({ title }) => title === wish);
    return Math.min(place < 0 ? side : place, view.overlays.length - 1);
  }

  function choose(side, place) {
    view.chosen[side] = view.overlays[place].title;
    if (side) view.second = place;
    else view.first = place;
  }

  function shown() {
    const first = view.overlays[view.first], second = view.overlays[view.second];
    return view.mode === "one" ? [first] : [first, second];
  }

  function buildControls() {
    const options = view.overlays.map(({ title }, index) => [index, title]);
    const again = (change) => (value) => {
      change(value);
      buildControls();
      layOut();
    };
    const two = view.mode !== "one", { compact } = view.header;
    root.classList.toggle("compact", compact);
    const parts = [
      selection(two ? "Left" : "Show", options, view.first, again((value) => choose(0, value))),
      two && selection("Right", options, view.second, again((value) => choose(1, value))),
      !compact && view.overlays.length > 2 && choice("Layout", MODES, view.mode, again((value) => (view.mode = value))),
      !compact && choice("Style", [["fill", "Fill"], ["contour", "Outline"]], view.settings.contour ? "contour" : "fill",
        again((value) => restyle({ contour: value === "contour" }))),
      view.layers.some((layer) => layer.instances) &&
        toggle("Objects", view.settings.numbered, () => again(() => restyle({ numbered: !view.settings.numbered }))(), "outline and number them"),
      shown().some(({ kind }) => kind === "errors") &&
        selection("Errors of", [[-1, "any class"], ...view.header.classes.map(({ name }, id) => [id, name])], view.focus ?? -1,
          again((value) => {
            view.focus = value < 0 ? null : value;
            for (const each of view.overlays) if (each.kind === "errors") each.forget();
          })),
      slider("Opacity", Math.round(100 * view.settings.opacity), { least: 0, most: 100, step: 1, unit: "%" }, (value) => {
        view.settings.opacity = value / 100;
        redraw();
      }),
      element("div", { class: "choice", role: "group", "aria-label": "Zoom" },
        element("button", { type: "button", "aria-label": "Zoom out", onclick: () => camera.move({ zoom: camera.camera.zoom / 1.5 }) }, "−"),
        element("button", { type: "button", onclick: () => camera.move({ zoom: 1 }) }, "Fit"),
        element("button", { type: "button", "aria-label": "Zoom in", onclick: () => camera.move({ zoom: camera.camera.zoom * 1.5 }) }, "+")),
    ];
    bar.replaceChildren(...parts.filter(Boolean));
    buildLegends();
    buildTools();
    spoken.textContent = alternative(view.header.name, view.picture, view.overlays.filter(({ kind }) => kind === "mask"));
    stage.setAttribute("aria-label", spoken.textContent);
  }

  function buildLegends() {
    const different = [...new Set(shown())].filter(({ source }) => source);
    const masks = different.filter(({ kind }) => kind === "mask");
    legends.replaceChildren(
      ...different.map(({ source, kind }) =>
        element(
          "div",
          {},
          different.length > 1 || kind !== "mask" || masks.length > 1 ? element("strong", {}, source.name) : "",
          source.ramp ? rampLegend(source) : legend(source, (index) => flip(kind, source, index)),
        ),
      ),
    );
  }

  // A class is shown or hidden in all masks at once.
  function flip(kind, source, index) {
    const { id } = source.entries[index], hide = !source.entries[index].hidden;
    for (const each of kind === "mask" ? view.overlays.filter((other) => other.kind === "mask") : [{ source }]) {
      for (const entry of each.source.entries) {
        if (entry.id !== id) continue;
        entry.hidden = hide;
        view.hidden.set(`${kind} ${entry.name}`, hide);
      }
    }
    restyle({});
    buildLegends();
    redraw();
  }

  function restyle(change) {
    Object.assign(view.settings, change);
    view.settings.revision++;
  }

  function buildTools() {
    const { editor, header } = view;
    tools.hidden = !editor;
    if (!editor) return delete stage.dataset.tool;
    stage.dataset.tool = editor.tool;
    tools.replaceChildren(
      choice("Tool", TOOLS, editor.tool, (tool) => {
        if (editor.corners.length) editor.cancel();
        editor.tool = tool;
        buildTools();
      }),
      selection("Class", header.classes.map(({ name }, id) => [id, name]), editor.chosen, (id) => (editor.chosen = id)),
      slider("Size", editor.radius, { least: 1, most: 60, step: 1, unit: "px" }, (radius) => (editor.radius = radius)),
      element("button", { type: "button", disabled: !editor.canUndo, onclick: editor.undo }, "Undo"),
      element("button", { type: "button", disabled: !editor.canRedo, onclick: editor.redo }, "Redo"),
      element("button", { type: "button", class: "primary", disabled: !editor.dirty, onclick: save }, "Save the mask"),
    );
  }

  let rebuilding = 0;
  function edited() {
    for (const each of view.overlays) {
      if (each.kind !== "mask" && each.kind !== "none") each.forget();
      else if (each.layer === view.layers[0]) each.source.revision++;
    }
    redraw();
    clearTimeout(rebuilding);
    rebuilding = setTimeout(() => {
      for (const each of view.overlays) if (each.layer === view.layers[0]) {
        const counts = count(each.source.values);
        for (const entry of each.source.entries) entry.share = counts[entry.id] / each.source.values.length;
      }
      buildLegends();
      buildTools();
    }, 60);
  }

  async function save() {
    const { values, width, height } = view.layers[0];
    view.editor.dirty = false; // what is painted from here on is not saved
    const packed = await deflate(values), { edits } = view.header;
    let text = "";
    for (let at = 0; at < packed.length; at += 0x8000) text += String.fromCharCode(...packed.subarray(at, at + 0x8000));
    buildTools();
    view.report("saved", { mask: btoa(text), width, height, key: edits });
  }

  const reactions = {
    size: () => drawn[0].canvas,
    picture: () => view.picture,
    camera: () => camera.camera,
    move: (to) => camera.move(to),
    hover(point) {
      view.point = point;
      readout.textContent = point ? described(view, point) : "\u00a0";
      if (view.editor || view.tiles) redraw();
    },
    click(point) {
      if (!view.header.clicks) return;
      const i = placeOf(view.picture, point), [layer] = view.layers;
      view.report("clicked", {
        x: Math.floor(point.x), y: Math.floor(point.y), key: view.header.key,
        classes: Object.fromEntries(view.layers.map(({ name, values }) => [name, values[i]])),
        instance: layer?.instances?.values[i] ?? null,
      });
    },
    stroke(kind, point) {
      const { editor } = view;
      if (!editor || editor.tool === "move") return false;
      const there = point && { x: (point.x * view.picture.maskWidth) / view.picture.width, y: (point.y * view.picture.maskHeight) / view.picture.height };
      if (kind === "down") return editor.press(there);
      if (kind === "move") editor.drag(there);
      else if (kind === "up") editor.release();
      else if (kind === "double" && editor.tool === "polygon") editor.close();
      else if (kind === "retract") editor.retract();
      return true;
    },
    key(name) {
      const { editor } = view;
      if (name === "o" || name === "p") {
        view.settings.opacity = Math.min(1, Math.max(0, view.settings.opacity + (name === "o" ? -0.1 : 0.1)));
        buildControls();
      } else if (name === "c") restyle({ contour: !view.settings.contour }), buildControls();
      else if (name === "n") restyle({ numbered: !view.settings.numbered }), buildControls();
      else if (/^[1-9]$/.test(name)) {
        const { kind, source } = shown()[0];
        if (source?.entries[Number(name) - 1]) flip(kind, source, Number(name) - 1);
      } else if (editor && name === "ctrl+z") editor.undo();
      else if (editor && (name === "ctrl+y" || name === "ctrl+Z")) editor.redo();
      else if (editor && name === "Enter") editor.close();
      else if (editor && name === "Escape") editor.cancel();
      else return false;
      redraw();
      return true;
    },
  };

  // Panes as large as there is room for, in the picture's proportions.
  function layOut() {
    if (!view.picture) return;
    const number = view.mode === "side" ? 2 : 1;
    if (drawn.length !== number) {
      const canvases = Array.from({ length: number }, () => element("canvas"));
      panes.replaceChildren(...canvases);
      drawn = canvases.map(makePane);
    }
    const stacked = number === 2 && root.clientWidth < 440;
    panes.classList.toggle("stacked", stacked);
    const across = number === 2 && !stacked ? (root.clientWidth - 8) / 2 : root.clientWidth;
    const tall = Math.max(240, 0.72 * window.innerHeight) / (stacked ? 1.6 : 1);
    const width = Math.max(80, across), height = Math.min(tall, (width * view.picture.height) / view.picture.width);
    const ratio = Math.min(2, window.devicePixelRatio || 1);
    for (const { canvas } of drawn) {
      Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
      const wide = Math.round(width * ratio), high = Math.round(height * ratio);
      if (canvas.width !== wide || canvas.height !== high) Object.assign(canvas, { width: wide, height: high });
    }
    divider.hidden = view.mode !== "swipe";
    redraw();
  }

  function redraw() {
    if (!frame) frame = requestAnimationFrame(draw);
  }

  function draw() {
    frame = 0;
    if (!view.picture || !drawn.length) return;
    const [first, second] = [view.overlays[view.first]?.source, view.overlays[view.second]?.source];
    const { width, height } = drawn[0].canvas;
    let at;
    if (view.mode === "swipe") {
      const part = Math.round(view.split * width);
      at = drawPane(drawn[0], view.picture, first, view.settings, camera.camera, 0, part);
      drawPane(drawn[0], view.picture, second, view.settings, camera.camera, part, width);
      drawn[0].context.fillStyle = "#FFFFFF";
      drawn[0].context.fillRect(part - 1, 0, 2, height);
    } else {
      at = drawPane(drawn[0], view.picture, first, view.settings, camera.camera);
      if (drawn[1]) drawPane(drawn[1], view.picture, second, view.settings, camera.camera);
    }
    stage.dataset.zoomed = camera.camera.zoom > 1;
    if (view.header.reduced) asker.look(at, width, height);
    if (view.tiles?.key === view.header.key) {
      for (const { context } of drawn) drawTiles(context, view.tiles, view.picture, at, view.point);
    }
    if (view.framed) for (const { context } of drawn) drawFrame(context, view.framed, at);
    if (view.editor) drawTool(drawn[0].context, view.editor, view.point, view.picture, at);
    const ratio = width / (drawn[0].canvas.clientWidth || width);
    const found = scaleBar(view.header.micrometres, at.scale, width / 3);
    scale.hidden = !found;
    if (found) {
      scale.querySelector("i").style.width = `${found.pixels / ratio}px`;
      scale.querySelector("span").textContent = found.text;
    }
  }
  return view;
}
