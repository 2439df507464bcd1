// What can be laid over the picture of a view: each mask; its errors where truth is known; where two predictions differ;
// maps of numbers; nothing. The map of each is worked out when it is first looked at.

function makeOverlays(view) {
  const { classes } = view.header;
  const truth = view.layers.find((layer) => layer.truth);
  const guesses = view.layers.filter((layer) => !layer.truth);
  const overlays = view.layers.map((layer) => overlay("mask", layer.name, () => maskSource(layer, classes), layer));
  if (truth) for (const layer of guesses) {
    overlays.push(overlay("errors", `Errors of ${layer.name}`, () => errorSource(truth, layer, classes, view.focus)));
  }
  for (let n = 1; n < guesses.length; n++) {
    const title = guesses.length > 2 ? `${guesses[0].name} against ${guesses[n].name}` : "Disagreement";
    overlays.push(overlay("apart", title, () => disagreementSource(guesses[0], guesses[n])));
  }
  for (const heat of view.heats) overlays.push(overlay("heat", heat.name, () => heatSource(heat, view.header.ramp)));
  return [...overlays, { kind: "none", title: "Picture alone", source: null }];

  function overlay(kind, title, make, layer = null) {
    let made = null;
    return {
      kind, title, layer,
      get source() {
        if (!made) {
          made = make();
          made.revision = 0;
          for (const entry of made.entries) entry.hidden = view.hidden.get(`${kind} ${entry.name}`) ?? entry.hidden;
        }
        return made;
      },
      forget: () => (made = null),
    };
  }
}
