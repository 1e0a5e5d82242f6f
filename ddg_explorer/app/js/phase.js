// ODE: curves over contours of H, with a fading trail, and the plotted components over time.

const TRAIL = 1500;
const SERIES = 900;
const SERIES_HEIGHT = 184;

class PhaseView {
  constructor(env) {
    this.env = env;
    this.forget();
  }

  forget() {
    this.points = []; // oldest first: [t, component, …]
  }

  absorb(header, buffer, offset) {
    const d = 1 + this.env.spec.names.length;
    if (buffer.byteLength - offset < 8 * d * header.count) return;
    const all = new Float64Array(buffer.slice(offset, offset + 8 * d * header.count));
    while (this.points.length && this.points[this.points.length - 1][0] > all[0]) this.points.pop();
    for (let k = 0; k < header.count; k++) {
      const point = all.subarray(k * d, (k + 1) * d);
      const last = this.points[this.points.length - 1];
      if (!last || last[0] !== point[0]) this.points.push(point);
    }
    if (this.points.length > 2 * TRAIL) this.points.splice(0, this.points.length - TRAIL);
    this.dt = header.dt;
  }

  size(width) {
    const beside = width >= 620;
    if (beside) return [width, Math.min(Math.round(width * 0.52), 460)];
    return [width, Math.round(Math.min(width * 0.84, 380)) + SERIES_HEIGHT];
  }

  paint() {
    const {ctx, canvas, palette, width, height, spec} = this.env;
    const ratio = fitCanvas(canvas, width, height);
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx.fillStyle = palette.surface;
    ctx.fillRect(0, 0, width, height);
    const left = 48, top = 8, bottom = 26;
    const beside = width >= 620;
    const w = beside ? Math.round(width * 0.54) - left : width - left - 8;
    const h = beside ? height - top - bottom : height - SERIES_HEIGHT - top - bottom;
    const plane = new Area(left, top, w, h);
    this.setWindow(plane, spec);
    this.plane = plane;
    plane.axes(ctx, palette, {xlabel: "", ylabel: ""});
    plane.clip(ctx, () => {
      this.paintContours(ctx, palette, plane);
      spec.curves.forEach((curve, i) => this.paintTrail(ctx, plane, curve, i));
    });
    this.label(ctx, palette, plane, spec.axes);
    const series = beside
      ? new Area(left + w + 64, top + 18, width - left - w - 72, h - 18)
      : new Area(left, height - SERIES_HEIGHT + 26, w, SERIES_HEIGHT - 26 - bottom);
    this.paintSeries(ctx, palette, series, spec);
  }

  place(px, py, held) {
    return placeIn(this.plane, px, py, held);
  }

  setWindow(area, spec) {
    let [x0, x1, y0, y1] = spec.window;
    if (spec.equal) {
      const half = (y1 - y0) / 2;
      const wide = (half * area.width) / area.height;
      if (wide >= half) [x0, x1] = [-wide, wide];
      else [y0, y1] = [-(half * area.height) / area.width, (half * area.height) / area.width];
    }
    area.setRange(x0, x1, y0, y1);
  }

  label(ctx, palette, area, [x, y]) {
    ctx.font = `italic ${FONT}`;
    ctx.fillStyle = palette.ink;
    ctx.textAlign = "right";
    ctx.textBaseline = "alphabetic";
    ctx.fillText(x, area.left + area.width - 6, area.top + area.height - 8);
    ctx.textAlign = "left";
    ctx.fillText(y, area.left + 8, area.top + 16);
  }

  paintContours(ctx, palette, area) {
    this.env.spec.contours.forEach((lines, level) => {
      ctx.lineWidth = level === 0 ? 1.5 : 1;
      ctx.strokeStyle = level === 0 ? palette.faint : palette.border;
      ctx.setLineDash(level === 0 ? [5, 4] : []);
      for (const line of lines) {
        polyline(ctx, (i) => area.x(line[2 * i]), (i) => area.y(line[2 * i + 1]),
          0, line.length / 2);
      }
    });
    ctx.setLineDash([]);
  }

  paintTrail(ctx, area, [a, b], index) {
    const {points} = this;
    const start = Math.max(0, points.length - TRAIL);
    const jump = 0.5 * (area.x1 - area.x0);
    ctx.lineJoin = "round";
    ctx.lineWidth = 2;
    ctx.strokeStyle = this.tint(index);
    const parts = 8, stride = Math.ceil((points.length - start) / parts);
    for (let k = 0; k < parts; k++) {
      ctx.globalAlpha = 0.12 + (0.88 * (k + 1)) / parts;
      ctx.beginPath();
      const from = start + k * stride, to = Math.min(from + stride + 1, points.length);
      for (let i = from; i < to; i++) {
        const broken = i > from && Math.abs(points[i][a + 1] - points[i - 1][a + 1]) > jump;
        const x = area.x(points[i][a + 1]), y = area.y(points[i][b + 1]);
        if (broken) ctx.moveTo(x, y);
        else ctx.lineTo(x, y);
      }
      ctx.stroke();
    }
    ctx.globalAlpha = 1;
    const head = points[points.length - 1];
    if (!head) return;
    ctx.beginPath();
    ctx.arc(area.x(head[a + 1]), area.y(head[b + 1]), 6, 0, 2 * Math.PI);
    ctx.fillStyle = ctx.strokeStyle;
    ctx.fill();
    ctx.lineWidth = 2;
    ctx.strokeStyle = this.env.palette.surface;
    ctx.stroke();
  }

  // A lane has one colour: its second body has a paler one of it, and so on.
  tint(body) {
    const {colour, palette, spec} = this.env;
    return body ? mixed(colour, palette.surface, body / (spec.curves.length + 1)) : colour;
  }

  // The body that a component belongs to; of a phase plane all belong to one.
  body(component) {
    return this.env.spec.names.length > 2 ? Math.floor(component / 2) : 0;
  }

  paintSeries(ctx, palette, area, spec) {
    const {points} = this;
    if (!points.length) return;
    const end = points[points.length - 1][0];
    const span = Math.min(SERIES, Math.max(120, 1.25 * points.length)) * this.dt;
    const t0 = Math.max(0, end - span);
    const [x0, x1, y0, y1] = spec.window;
    const low = Math.min(x0, y0), high = Math.max(x1, y1);
    area.setRange(t0, t0 + span, low, high);
    area.axes(ctx, palette, {xlabel: ""});
    const dashes = [[], [6, 4], [2, 3], [8, 3, 2, 3]];
    let from = Math.max(0, points.length - SERIES - 2);
    area.clip(ctx, () => {
      spec.names.forEach((_, c) => {
        ctx.strokeStyle = this.tint(this.body(c));
        ctx.lineWidth = 1.75;
        ctx.setLineDash(dashes[(spec.names.length > 2 ? c % 2 : c) % dashes.length]);
        const jump = 0.5 * (high - low);
        ctx.beginPath();
        for (let i = from; i < points.length; i++) {
          const x = area.x(points[i][0]), y = area.y(points[i][c + 1]);
          const broken = i > from && Math.abs(points[i][c + 1] - points[i - 1][c + 1]) > jump;
          if (broken) ctx.moveTo(x, y);
          else ctx.lineTo(x, y);
        }
        ctx.stroke();
      });
    });
    ctx.setLineDash([]);
    this.legend(ctx, palette, area, spec, dashes);
    ctx.font = `italic ${FONT}`;
    ctx.fillStyle = palette.ink;
    ctx.textAlign = "right";
    ctx.textBaseline = "alphabetic";
    ctx.fillText("t", area.left + area.width - 6, area.top + area.height - 8);
  }

  legend(ctx, palette, area, spec, dashes) {
    ctx.font = FONT;
    ctx.textAlign = "left";
    ctx.textBaseline = "middle";
    const many = spec.names.length > 2, dash = 20, space = 6;
    const widths = spec.names.map((name) => dash + space + ctx.measureText(name).width);
    const room = area.width - widths.reduce((sum, width) => sum + width, 0);
    const gap = Math.min(20, room / Math.max(1, widths.length - 1));
    let x = area.left;
    spec.names.forEach((name, c) => {
      ctx.strokeStyle = this.tint(this.body(c));
      ctx.lineWidth = 2;
      ctx.setLineDash(dashes[(many ? c % 2 : c) % dashes.length]);
      ctx.beginPath();
      ctx.moveTo(x, area.top - 11);
      ctx.lineTo(x + dash, area.top - 11);
      ctx.stroke();
      ctx.setLineDash([]);
      ctx.fillStyle = palette.ink;
      ctx.fillText(name, x + dash + space, area.top - 11);
      x += widths[c] + gap;
    });
  }
}
