// A picture that came reduced: once the part in sight is larger than what came, and at rest, that part is asked for.

const SHARPEST = 2048; // pixels at which a part comes at most
const AROUND = 0.25; // of its sides more on each side, so that a small move needs no more

function makeAsker(view) {
  let resting = 0;
  return {
    stop: () => clearTimeout(resting),
    // `at`: how the picture lies in a pane of so many pixels.
    look(at, width, height) {
      clearTimeout(resting);
      const { picture, header } = view;
      if (at.scale * picture.width < 1.3 * picture.bitmap.width) return;
      const part = { x: at.left, y: at.top, width: width / at.scale, height: height / at.scale };
      const there = picture.detail;
      const finest = Math.min(1, at.scale, SHARPEST / ((1 + 2 * AROUND) * Math.max(part.width, part.height)));
      const sharp = there && (there.bitmap.width / there.width) * 1.3 > finest;
      const within = there && part.x >= there.x - 1 && part.y >= there.y - 1 &&
        Math.min(picture.width, part.x + part.width) <= there.x + there.width + 1 &&
        Math.min(picture.height, part.y + part.height) <= there.y + there.height + 1;
      if (sharp && within) return;
      const wider = 1 + 2 * AROUND;
      resting = setTimeout(() => {
        view.ask("window", {
          key: header.key,
          x: Math.round(part.x - part.width * AROUND), y: Math.round(part.y - part.height * AROUND),
          width: Math.round(part.width * wider), height: Math.round(part.height * wider),
        });
      }, 250);
    },
  };
}
