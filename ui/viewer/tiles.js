// The tiles into which a picture is cut, drawn over it: `size`, and the `lefts` and `tops` that go with each other.

function drawTiles(context, tiles, picture, at, point) {
  const { size, lefts, tops } = tiles;
  const x = (value) => (value - at.left) * at.scale, y = (value) => (value - at.top) * at.scale;
  const right = (lefts.at(-1) ?? -size) + size, bottom = (tops.at(-1) ?? -size) + size;
  context.save();
  context.fillStyle = "rgb(0 0 0 / 60%)"; // what is in no tile
  if (right < picture.width) context.fillRect(x(right), y(0), (picture.width - right) * at.scale, picture.height * at.scale);
  if (bottom < picture.height) {
    context.fillRect(x(0), y(bottom), Math.min(right, picture.width) * at.scale, (picture.height - bottom) * at.scale);
  }
  context.fillStyle = "rgb(255 255 255 / 22%)";
  for (const [left, top] of point ? tilesAt(tiles, point) : []) context.fillRect(x(left), y(top), size * at.scale, size * at.scale);
  // Each side is one line across; dark below light is seen on any picture.
  context.beginPath();
  for (const edge of new Set(lefts.flatMap((left) => [left, left + size]))) line(x(edge), y(0), x(edge), y(Math.max(bottom, 0)));
  for (const edge of new Set(tops.flatMap((top) => [top, top + size]))) line(x(0), y(edge), x(Math.max(right, 0)), y(edge));
  for (const [width, colour] of [[3, "rgb(0 0 0 / 55%)"], [1.25, "#FFFFFF"]]) {
    context.lineWidth = width;
    context.strokeStyle = colour;
    context.stroke();
  }
  context.restore();

  function line(...[fromX, fromY, toX, toY]) {
    context.moveTo(fromX, fromY);
    context.lineTo(toX, toY);
  }
}

// The left and top of every tile that a point lies in.
function tilesAt({ size, lefts, tops }, { x, y }) {
  const within = (starts, value) => starts.filter((start) => start <= value && value < start + size);
  return within(lefts, x).flatMap((left) => within(tops, y).map((top) => [left, top]));
}

function tilesSaid(number) {
  return number === 1 ? "in 1 tile" : number ? `in ${number} tiles` : "in no tile";
}
