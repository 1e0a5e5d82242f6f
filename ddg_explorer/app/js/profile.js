// 1-D field: the profile above, and below it the space–time picture, newest row on top.

const ROWS = 240;

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
    this.values = null;
    this.first = null;
    this.sheetCtx.clearRect(0, 0, this.n, ROWS);
  }

  absorb(header, buffer, offset) {
    const size = this.n * this.channels;
    if (buffer.byteLength - offset < header.count * (8 + 4 * size)) return;
    const times = new Float64Array(buffer.slice(offset, offset + 8 * header.count));
    const all = new Float32Array(buffer.slice(offset + 8 * header.count));
    const relimited = this.low !== header.low || this.high !== header.high;
    [this.low, this.high] = [header.low, header.high];
    for (let k = 0; k < header.count; k++) {
      this.values = all.subarray(k * size, (k + 1) * size);
      if (!this.first) this.first = this.values;
      const last = this.rows[0];
      if (last && last.t === times[k]) continue;
      this.rows.unshift({t: times[k], values: this.values.subarray(0, this.n)});
      if (this.rows.length > ROWS) this.rows.pop();
      if (!relimited) {
        this.sheetCtx.globalCompositeOperation = "copy";
        this.sheetCtx.drawImage(this.sheet, 0, 1);
        this.sheetCtx.globalCompositeOperation = "source-over";
        this.paintRow(this.rows[0].values, 0);
      }
    }
    if (relimited) this.recolour();
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
    return [width, Math.round(Math.min(Math.max(width * 0.66, 360), 520))];
  }

  paint() {
    const {ctx, canvas, palette, width, height, spec} = this.env;
    const ratio = fitCanvas(canvas, width, height);
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx.fillStyle = palette.surface;
    ctx.fillRect(0, 0, width, height);
    if (!this.values) return;
    const left = 48, right = 10, top = 8, gap = 30;
    const upper = Math.round((height - top - gap) * 0.46);
    const area = new Area(left, top, width - left - right, upper);
    area.setRange(0, spec.length[0], this.low, this.high);
    area.axes(ctx, palette, {ylabel: spec.names.join(", ")});
    area.clip(ctx, () => this.paintCurves(ctx, palette, area));
    this.paintSheet(ctx, palette, new Area(left, top + upper + gap, area.width,
      height - top - upper - gap - 4));
  }

  paintCurves(ctx, palette, area) {
    const dx = this.env.spec.length[0] / this.n;
    const draw = (values, channel) => polyline(
      ctx, (i) => area.x(i * dx), (i) => area.y(values[channel * this.n + (i % this.n)]),
      0, this.n + 1);
    ctx.lineJoin = "round";
    ctx.lineWidth = 1.25;
    ctx.strokeStyle = palette.faint;
    ctx.setLineDash([2, 4]);
    draw(this.first, 0);
    ctx.setLineDash([6, 4]);
    for (let c = 1; c < this.channels; c++) draw(this.values, c);
    ctx.setLineDash([]);
    ctx.strokeStyle = this.env.colour;
    ctx.lineWidth = 2.25;
    draw(this.values, 0);
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
      if (y > area.top + 20) ctx.fillText(formatNumber(t), area.left - 8, y);
    }
    ctx.fillText("t", area.left - 8, area.top + 7);
  }
}
