// 1-D field: the profile above, and below it the space–time picture, newest row on top.

const ROWS = 240;
const COMPACT = 280; // pixels of the height of a picture among several (js/lane.css)

class ProfileView {
  constructor(env) {
    this.env = env;
    this.n = env.spec.shape[0];
    this.channels = env.spec.names.length;
    this.sheet = document.createElement("canvas");
    this.sheet.width = this.n;
    this.sheet.height = ROWS;
    this.sheetCtx = this.sheet.getContext("2d", {alpha: true});
    this.row = this.sheetCtx.createImageData(this.n, 1);
    this.rowPixels = new Uint32Array(this.row.data.buffer);
    this.forget();
  }

  forget() {
    this.rows = []; // newest first: {t, values}
    this.later = []; // newest first: what was shown before time was turned back
    this.values = null;
    this.first = null;
    this.exact = null;
    this.reach = [0, 0];
    this.sheetCtx.clearRect(0, 0, this.n, ROWS);
  }

  absorb(header, buffer, offset) {
    const size = this.n * (this.channels + (header.extra ? 1 : 0));
    if (buffer.byteLength - offset < 8 + 4 * size) return;
    const t = new DataView(buffer).getFloat64(offset, true);
    const relimited = this.low !== header.low || this.high !== header.high;
    [this.low, this.high] = [header.low, header.high];
    this.values = new Float32Array(buffer.slice(offset + 8, offset + 8 + 4 * size));
    this.exact = header.extra ? this.values.subarray(this.n * this.channels) : null;
    this.overlay = header.extra === 2 ? `true ${this.env.spec.names[0]}` : "exact";
    if (!this.first) this.first = this.values;
    this.extend();
    if (this.rows.length && this.rows[0].t >= t) { // edited, or time was turned back
      while (this.rows.length && this.rows[0].t >= t) this.later.push(this.rows.shift());
      this.rows.unshift({t, values: this.values.subarray(0, this.n)});
      this.repaint();
      return;
    }
    if (this.later.length && this.restore(t)) return;
    this.rows.unshift({t, values: this.values.subarray(0, this.n)});
    if (this.rows.length > ROWS) this.rows.pop();
    if (relimited) this.recolour();
    else {
      this.sheetCtx.globalCompositeOperation = "copy";
      this.sheetCtx.drawImage(this.sheet, 0, 1);
      this.sheetCtx.globalCompositeOperation = "source-over";
      this.paintRow(this.rows[0].values, 0);
    }
  }

  // Forward again through what was already shown: the rows in between come back.
  restore(t) {
    const k = this.later.findIndex((row) => row.t === t);
    const known = k >= 0 && this.later[k].values.every((x, i) => x === this.values[i]);
    if (known) {
      while (this.later.length > k) {
        const row = this.later.pop();
        if (row.t > this.rows[0].t) this.rows.unshift(row);
      }
      this.rows.length = Math.min(this.rows.length, ROWS);
      this.repaint();
    } else this.later = [];
    return known;
  }

  repaint() {
    this.sheetCtx.clearRect(0, 0, this.n, ROWS);
    this.recolour();
  }

  // The colours' limits belong to the first channel; the axis also holds the others.
  extend() {
    for (let i = this.n; i < this.n * this.channels; i++) {
      if (this.values[i] < this.reach[0]) this.reach[0] = 1.15 * this.values[i];
      if (this.values[i] > this.reach[1]) this.reach[1] = 1.15 * this.values[i];
    }
  }

  recolour() {
    this.rows.forEach((row, i) => this.paintRow(row.values, i));
  }

  paintRow(values, y) {
    const {table} = this.env;
    const scale = 255 / (this.high - this.low);
    for (let i = 0; i < this.n; i++) {
      const b = (values[i] - this.low) * scale;
      this.rowPixels[i] = table[b < 0 ? 0 : b > 255 ? 255 : b | 0];
    }
    this.sheetCtx.putImageData(this.row, 0, y);
  }

  size(width) {
    if (this.env.compact) return [width, COMPACT];
    return [width, Math.round(Math.min(Math.max(width * 0.66, 360), 520))];
  }

  paint() {
    const {ctx, canvas, palette, width, height, spec} = this.env;
    const ratio = fitCanvas(canvas, width, height);
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx.fillStyle = palette.surface;
    ctx.fillRect(0, 0, width, height);
    if (!this.values) return;
    const left = 48, right = 10, top = 26, gap = 30;
    const upper = Math.round((height - top - gap) * (this.env.compact ? 0.56 : 0.46));
    const area = new Area(left, top, width - left - right, upper);
    area.setRange(0, spec.length[0],
      Math.min(this.low, this.reach[0]), Math.max(this.high, this.reach[1]));
    this.area = area;
    area.axes(ctx, palette);
    area.clip(ctx, () => this.paintCurves(ctx, palette, area));
    this.legend(ctx, palette, area);
    this.paintSheet(ctx, palette, new Area(left, top + upper + gap, area.width,
      height - top - upper - gap - 4));
  }

  paintCurves(ctx, palette, area) {
    const dx = this.env.spec.length[0] / this.n;
    const draw = (values, channel) => polyline(
      ctx, (i) => area.x(i * dx), (i) => area.y(values[channel * this.n + (i % this.n)]),
      0, this.n + 1);
    ctx.lineJoin = "round";
    for (const curve of this.curves(palette)) {
      ctx.lineWidth = curve.width;
      ctx.strokeStyle = curve.colour;
      ctx.setLineDash(curve.dash);
      draw(curve.values, curve.channel);
    }
    ctx.setLineDash([]);
  }

  place(px, py, held) {
    return placeIn(this.area, px, py, held);
  }

  // Back to front.
  curves(palette) {
    const {names, show} = this.env.spec;
    const list = [
      {name: "start", values: this.first, channel: 0, colour: palette.faint, width: 1.25, dash: [2, 4]},
    ];
    for (let c = 1; c < this.channels; c++) {
      list.push({name: names[c], values: this.values, channel: c, colour: palette.muted, width: 1.25,
        dash: [6, 4]});
    }
    const name = show === "difference" ? `${names[0]} − true ${names[0]}` : names[0];
    list.push({name, values: this.values, channel: 0, colour: this.env.colour, width: 2.25,
      dash: []});
    if (this.exact) {
      list.push({name: this.overlay, values: this.exact, channel: 0, colour: palette.ink, width: 1.25,
        dash: [4, 4]});
    }
    return list;
  }

  legend(ctx, palette, area) {
    ctx.font = FONT;
    ctx.textAlign = "right";
    ctx.textBaseline = "middle";
    let x = area.left + area.width - 8;
    for (const curve of this.curves(palette)) {
      ctx.fillStyle = palette.muted;
      ctx.fillText(curve.name, x, area.top - 12);
      x -= ctx.measureText(curve.name).width + 6;
      ctx.lineWidth = curve.width;
      ctx.strokeStyle = curve.colour;
      ctx.setLineDash(curve.dash);
      polyline(ctx, (i) => x - 20 + 20 * i, () => area.top - 12, 0, 2);
      x -= 32;
    }
    ctx.setLineDash([]);
  }

  paintSheet(ctx, palette, area) {
    const filled = this.rows.length;
    ctx.strokeStyle = palette.grid;
    ctx.lineWidth = 1;
    ctx.strokeRect(area.left - 0.5, area.top - 0.5, area.width + 1, area.height + 1);
    ctx.imageSmoothingEnabled = true;
    ctx.drawImage(this.sheet, 0, 0, this.n, filled,
      area.left, area.top, area.width, (area.height * filled) / ROWS);
    ctx.font = FONT;
    ctx.fillStyle = palette.muted;
    ctx.textAlign = "right";
    ctx.textBaseline = "middle";
    const newest = this.rows[0].t, oldest = this.rows[filled - 1].t;
    let i = 0;
    const ticks = niceTicks(oldest, newest, (area.height * filled) / ROWS / 46).reverse();
    for (const t of ticks) {
      while (i < filled - 1 && this.rows[i].t > t) i++;
      const y = area.top + ((i + 0.5) * area.height) / ROWS;
      if (y > area.top + 20) area.besideLeft(ctx, formatTick(t), y);
    }
    ctx.fillText("t", area.left - 8, area.top + 7);
  }
}
