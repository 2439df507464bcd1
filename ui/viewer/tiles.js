// The tiles into which a picture is cut, drawn over it: `size`, and the `lefts` and `tops` that go with each other.

const NARROW = 3; // pixels of the pane between two lines, below which they would hide the picture
const MOST_LIT = 16;

function drawTiles(context, tiles, picture, at, point) {
  const { size, lefts, tops } = tiles;
  const x = (value) => (value - at.left) * at.scale, y = (value) => (value - at.top) * at.scale;
  const right = Math.min(lefts.at(-1) + size, picture.width), bottom = Math.min(tops.at(-1) + size, picture.height);
  context.save();
  context.fillStyle = "rgb(0 0 0 / 60%)"; // what is in no tile
  context.fillRect(x(right), y(0), (picture.width - right) * at.scale, picture.height * at.scale);
  context.fillRect(x(0), y(bottom), right * at.scale, (picture.height - bottom) * at.scale);
  context.fillStyle = "rgb(255 255 255 / 22%)";
  const [across, down] = point ? tilesAt(tiles, point) : [[], []];
  if (across.length * down.length <= MOST_LIT) {
    for (const left of across) for (const top of down) context.fillRect(x(left), y(top), size * at.scale, size * at.scale);
  }
  // Each side is one line across; dark below light is seen on any picture.
  context.beginPath();
  for (const edge of edges(lefts, size, at.scale)) line(x(edge), y(0), x(edge), y(bottom));
  for (const edge of edges(tops, size, at.scale)) line(x(0), y(edge), x(right), y(edge));
  for (const [width, colour] of [[3, "rgb(0 0 0 / 55%)"], [1.25, "#FFFFFF"]]) {
    context.lineWidth = width;
    context.strokeStyle = colour;
    context.stroke();
  }
  context.restore();

  function line(fromX, fromY, toX, toY) {
    context.moveTo(fromX, fromY);
    context.lineTo(toX, toY);
  }
}

// Where tiles begin and end along a side; where that is too close to be told apart, the first and the last.
function edges(starts, size, scale) {
  const stride = starts.length > 1 ? starts[1] - starts[0] : size;
  const shown = stride * scale < NARROW ? [starts[0], starts.at(-1)] : starts;
  return new Set(shown.flatMap((start) => [start, start + size]));
}

// The lefts and the tops of the tiles that a point lies in; each goes with each.
function tilesAt({ size, lefts, tops }, { x, y }) {
  const within = (starts, value) => starts.filter((start) => start <= value && value < start + size);
  return [within(lefts, x), within(tops, y)];
}

function tilesSaid(tiles, point) {
  const [across, down] = tilesAt(tiles, point), number = across.length * down.length;
  return number === 1 ? "in 1 tile" : number ? `in ${number} tiles` : "in no tile";
}
