// What is said in words: of the place under the pointer, and of the whole picture.

// Where a point of the picture lies in its masks.
function placeOf({ width, height, maskWidth, maskHeight }, { x, y }) {
  return Math.floor((y * maskHeight) / height) * maskWidth + Math.floor((x * maskWidth) / width);
}

function described({ picture, layers, tiles, header: { classes }, shown }, point) {
  const i = placeOf(picture, point);
  const named = (id) => classes[id]?.name ?? (id === IGNORE ? "ignored" : `unknown (${id})`);
  const said = layers.map(({ name, values, confidence, instances }) => {
    const sure = confidence ? ` ${Math.round(confidence.values[i] / 2.55)} %` : "";
    const object = instances?.values[i] ? `, object ${instances.values[i]}` : "";
    return `${name}: ${named(values[i])}${sure}${object}`;
  });
  for (const { kind, source } of new Set(shown())) {
    if (kind === "heat") said.push(`${source.name}: ${percent(source.values[i] / 255)}`);
  }
  if (tiles) said.push(tilesSaid(tiles, point));
  return [`${Math.floor(point.x)}, ${Math.floor(point.y)}`, ...said].join(" · ");
}

// What there is to be seen, for those who do not see it.
function alternative(name, picture, layers) {
  const said = layers.map(({ source }) => {
    const classes = source.entries.filter((entry) => entry.share > 0);
    const objects = source.instances ? `, ${source.instances.table.size} objects` : "";
    return `${source.name}: ${classes.map((entry) => `${entry.name} ${percent(entry.share)}`).join(", ")}${objects}`;
  });
  return `${name}, ${picture.width} by ${picture.height} pixels. ${said.join(". ")}.`;
}
