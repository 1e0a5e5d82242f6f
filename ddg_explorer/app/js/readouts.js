// The figures of one lane, below its picture.

const READOUTS = [
  ["t", "t"], ["rate", "steps/s"], ["fps", "frames/s"], ["ms", "ms/step"],
  ["residual", "residual"], ["iterations", "iterations"], ["device", "device"],
];
// An energy that is meant to change does not drift.
const compactReadouts = (conserves) => [
  ["t", "t"], ["own", conserves === false ? "own change" : "own drift"],
  ["error", "distance"], ["ms", "ms/step"],
];

class Readouts {
  constructor(parent) {
    this.list = element("dl", "readouts", parent);
    this.arrange(false, true);
  }

  arrange(compact, conserves) {
    this.list.replaceChildren();
    this.cells = Object.fromEntries((compact ? compactReadouts(conserves) : READOUTS).map(
      ([key, label]) => {
        const cell = element("div", "", this.list);
        element("dt", "", cell, label);
        return [key, element("dd", "", cell, "–")];
      }));
  }

  write(header, fps, device) {
    const texts = {
      t: formatTime(header.t, Math.min(header.t >= 1000 ? 0.1 : 1e-3, header.dt)),
      rate: formatNumber(Math.round(header.rate), 4),
      fps,
      ms: header.ms.toFixed(header.ms < 10 ? 2 : 1),
      residual: formatFigure(header.residual),
      iterations: header.iterations,
      device,
      own: Number.isNaN(header.own) ? "no H" : formatFigure(header.own),
      error: formatFigure(header.error),
    };
    for (const [key, cell] of Object.entries(this.cells)) cell.textContent = texts[key];
  }
}
