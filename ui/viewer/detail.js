// A picture that came reduced: once the part in sight is larger than what came, and at rest, that part is asked for.

function makeAsker(view) {
  let resting = 0;
  // `at`: how the picture lies in a pane of so many pixels.
  return (at, width, height) => {
    clearTimeout(resting);
    const { picture, header } = view;
    if (at.scale * picture.width < 1.3 * picture.bitmap.width) return;
    const part = { x: at.left, y: at.top, width: width / at.scale, height: height / at.scale };
    const there = picture.detail;
    const sharp = there && (there.bitmap.width / there.width) * 1.3 > Math.min(1, at.scale);
    const within = there && part.x >= there.x - 1 && part.y >= there.y - 1 &&
      Math.min(picture.width, part.x + part.width) <= there.x + there.width + 1 &&
      Math.min(picture.height, part.y + part.height) <= there.y + there.height + 1;
    if (sharp && within) return;
    resting = setTimeout(() => {
      // Half as much on each side, so that a small move needs no more.
      view.ask("window", {
        key: header.key,
        x: Math.round(part.x - part.width / 4), y: Math.round(part.y - part.height / 4),
        width: Math.round(part.width * 1.5), height: Math.round(part.height * 1.5),
      });
    }, 250);
  };
}
