// Running curves of all lanes: several small charts over one table of samples a lane.
// Python sends rows of float64 (ddg_explorer/app/traces.py) a few times a second.

const LEFT = 58, RIGHT = END, TOP = 6, BOTTOM = 36;
const NEAR = 0.7; // pixels: points closer to the last one than this are left out

class Samples {
  constructor({columns, rollover, zero}) {
    Object.assign(this, {columns, rollover, zero});
    this.data = new Float64Array(rollover * columns);
    this.count = 0;
  }

  // The rows follow the first `kept` ones; the oldest make room.
  append(kept, rows) {
    const {columns, rollover} = this;
    const old = Math.min(kept, this.count), fresh = rows.length / columns;
    const gone = Math.max(0, old + fresh - rollover);
    this.data.copyWithin(0, gone * columns, old * columns);
    this.data.set(rows, (old - gone) * columns);
    this.count = old - gone + fresh;
  }
}

const power = (exponent) => (exponent === 0 ? "1"
  : `10${exponent < 0 ? "⁻" : ""}${[...String(Math.abs(exponent))].map((d) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[d]).join("")}`);

class Chart {
  constructor(curves) {
    this.curves = curves;
    this.section = document.createElement("section");
    this.head = document.createElement("div");
    this.head.className = "head";
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("role", "img");
    this.section.append(this.head, this.canvas);
    this.ctx = this.canvas.getContext("2d");
    curves.sight.observe(this.canvas);
    curves.size.observe(this.canvas);
  }

  show(spec) {
    this.spec = spec;
    this.head.innerHTML = spec.head;
    this.canvas.setAttribute("aria-label", spec.title);
    this.canvas.title = `${spec.title} over the time t (nondimensional)`;
    this.canvas.dataset.chart = spec.name;
  }

  paint() {
    const {ctx, canvas, spec, curves: {model, limits, lanes}} = this;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    if (!width) return;
    const ratio = fitCanvas(canvas, width, height);
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx.clearRect(0, 0, width, height);
    const area = new Area(LEFT, TOP, width - LEFT - RIGHT, height - TOP - BOTTOM);
    const [low, high] = spec.decades ?? limits[spec.name] ?? [-1, 1];
    area.setRange(...limits.t, low, high);
    area.axes(ctx, model.palette, spec.decades
      ? {yticks: [-16, -12, -8, -4, 0], ytext: power} : {});
    area.clip(ctx, () => {
      ctx.lineJoin = "round";
      for (const line of spec.lines) this.trace(area, line, lanes[line.lane]);
      ctx.setLineDash([]);
    });
    ctx.fillStyle = model.palette.muted;
    ctx.textAlign = "center";
    ctx.textBaseline = "bottom";
    ctx.fillText("t", LEFT + area.width / 2, height);
    canvas.dataset.samples = lanes[0]?.count ?? 0;
  }

  // On log axes zeros come as `zero` and stand on the chart's floor.
  trace(area, {column, colour, width, dash}, samples) {
    if (!samples) return;
    const {ctx, spec} = this, {data, count, columns, zero} = samples;
    const place = spec.decades
      ? (value) => area.y(Math.log10(value > zero ? value : spec.floor)) : (value) => area.y(value);
    ctx.strokeStyle = colour;
    ctx.lineWidth = width;
    ctx.setLineDash(dash);
    ctx.beginPath();
    let x = 0, y = 0, drawing = false;
    for (let i = 0; i < count; i++) {
      const value = data[i * columns + column];
      if (!Number.isFinite(value)) {
        drawing = false;
        continue;
      }
      const px = area.x(data[i * columns]), py = place(value);
      if (!drawing) ctx.moveTo(px, py);
      else if (i < count - 1 && Math.abs(px - x) < NEAR && Math.abs(py - y) < NEAR) continue;
      else ctx.lineTo(px, py);
      [x, y, drawing] = [px, py, true];
    }
    ctx.stroke();
  }
}

class Curves {
  constructor(model) {
    this.model = model;
    this.limits = {t: [0, 1]};
    this.lanes = [];
    this.charts = [];
    this.frame = 0;
    this.seen = new Set();
    this.root = document.createElement("div");
    this.size = new ResizeObserver(() => this.schedule());
    this.sight = new IntersectionObserver((entries) => {
      for (const {target, isIntersecting} of entries) {
        if (isIntersecting) this.seen.add(target);
        else this.seen.delete(target);
      }
      this.schedule();
    });
    this.restyle();
  }

  restyle() {
    const {model, root} = this;
    root.className = model.stacked ? "curves stacked" : "curves";
    colour(root, model.palette);
    while (this.charts.length < model.charts.length) this.charts.push(new Chart(this));
    model.charts.forEach((spec, i) => this.charts[i].show(spec));
    root.replaceChildren(...this.charts.slice(0, model.charts.length).map((c) => c.section));
    this.schedule();
  }

  take({lanes, limits}) {
    for (const [lane, kept, rows] of lanes) {
      this.lanes[lane] ??= new Samples(this.model.shape);
      this.lanes[lane].append(kept, new Float64Array(unpack(rows)));
    }
    this.limits = limits;
    this.schedule();
  }

  schedule() {
    this.frame ||= requestAnimationFrame(() => this.paint());
  }

  paint() {
    this.frame = 0;
    for (const chart of this.charts) if (this.seen.has(chart.canvas)) chart.paint();
  }

  close() {
    cancelAnimationFrame(this.frame);
    this.size.disconnect();
    this.sight.disconnect();
  }
}

export function render({model}) {
  const curves = new Curves(model);
  model.on("msg:custom", (message) => curves.take(message));
  for (const name of ["charts", "palette", "stacked"]) model.on(name, () => curves.restyle());
  model.on("remove", () => curves.close());
  model.send_msg({ready: true});
  return curves.root;
}
