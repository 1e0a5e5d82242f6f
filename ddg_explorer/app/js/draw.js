// Helpers shared by the live pictures: elements, messages, colours, number formats, ticks, axes,
// canvases.

const FONT = '12px Roboto, "Helvetica Neue", "Liberation Sans", sans-serif';

function element(tag, className, parent, text) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  if (text) e.textContent = text;
  if (parent) parent.appendChild(e);
  return e;
}

// Binary data of a message (`packed` of ddg_explorer/app/component.py) as an ArrayBuffer.
function unpack(data) {
  if (typeof data === "string") return Uint8Array.from(atob(data), (c) => c.charCodeAt(0)).buffer;
  return data instanceof ArrayBuffer ? data : data.buffer;
}

// Colours by name as variables of the style sheet.
function colour(root, palette) {
  for (const [name, value] of Object.entries(palette)) root.style.setProperty(`--${name}`, value);
}

// The colour that lies `share` of the way from one to another; all are "#rrggbb".
function mixed(from, to, share) {
  const part = (hex, k) => parseInt(hex.slice(1 + 2 * k, 3 + 2 * k), 16);
  const parts = [0, 1, 2].map((k) => Math.round(part(from, k) * (1 - share) + part(to, k) * share));
  return `#${parts.map((x) => x.toString(16).padStart(2, "0")).join("")}`;
}

// `digits` digits without zeros at the end; of an integer, all of them.
function formatNumber(x, digits = 3) {
  if (!Number.isFinite(x)) return "–";
  if (x === 0) return "0";
  const a = Math.abs(x);
  const sign = (text) => text.replace("+", "").replaceAll("-", "−");
  if (a >= 1e5 || a < 1e-3) {
    const [m, e] = x.toExponential(Math.max(digits - 2, 0)).split("e");
    return sign(`${Number(m)}e${e}`);
  }
  const whole = Math.floor(Math.log10(a)) + 1;
  return sign(String(Number(x.toPrecision(Math.max(digits, whole)))));
}

// Two digits, zeros at the end too, in powers of ten outside [0.01, 10⁴): a drift, a distance.
function formatFigure(x) {
  if (!Number.isFinite(x)) return "–";
  if (x === 0) return "0";
  const a = Math.abs(x), rounded = Number(x.toPrecision(2));
  const text = a < 1e-2 || a >= 1e4 ? x.toExponential(1)
    : Math.abs(rounded) < 100 ? x.toPrecision(2) : String(rounded);
  return text.replace("+", "").replaceAll("-", "−");
}

// A round tick without a digit left out.
const formatTick = (x) => formatNumber(x, 10);

// A time with the decimals in which `step` is seen; a small one as a power of ten.
function formatTime(t, step) {
  if (t === 0) return "0";
  const size = Math.abs(t), digits = Math.max(0, Math.ceil(-Math.log10(step) - 1e-9));
  if (size < 1e-3 && digits > 5) return t.toExponential(2).replaceAll("-", "−");
  const whole = Math.max(1, Math.floor(Math.log10(size)) + 1);
  return t.toFixed(Math.min(digits, Math.max(0, 7 - whole))).replace("-", "−");
}

// Round tick positions inside [low, high], about `count` of them, a few more rather than too few;
// where there is room for more than one, at least two.
function niceTicks(low, high, count) {
  const raw = (high - low) / Math.max(count, 1);
  if (!(raw > 0) || !Number.isFinite(raw)) return [];
  const unit = 10 ** Math.floor(Math.log10(raw));
  const steps = [0.5, 1, 2, 2.5, 5, 10].map((m) => m * unit);
  const i = steps.findIndex((step) => step >= raw * 0.8);
  const ticks = multiples(steps[i], low, high);
  return ticks.length < 2 && count >= 1.5 ? multiples(steps[i - 1], low, high) : ticks;
}

function multiples(step, low, high) {
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) {
    found.push(Math.abs(k * step) < step * 1e-9 ? 0 : k * step);
  }
  return found;
}

// Sizes the canvas in device pixels and returns a scale that lets us draw in CSS pixels.
function fitCanvas(canvas, width, height) {
  const ratio = Math.min(window.devicePixelRatio || 1, 2);
  const w = Math.max(1, Math.round(width * ratio));
  const h = Math.max(1, Math.round(height * ratio));
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
  }
  return ratio;
}

const END = 8; // pixels that labels may reach beyond the right end of an area

// A plotting area: maps data to CSS pixels, draws its grid and labels.
class Area {
  constructor(left, top, width, height) {
    Object.assign(this, {left, top, width, height});
    this.setRange(0, 1, 0, 1);
  }

  setRange(x0, x1, y0, y1) {
    Object.assign(this, {x0, x1, y0, y1});
  }

  x(v) {
    return this.left + ((v - this.x0) / (this.x1 - this.x0)) * this.width;
  }

  y(v) {
    return this.top + (1 - (v - this.y0) / (this.y1 - this.y0)) * this.height;
  }

  clip(ctx, paint) {
    ctx.save();
    ctx.beginPath();
    ctx.rect(this.left, this.top, this.width, this.height);
    ctx.clip();
    paint();
    ctx.restore();
  }

  axes(ctx, palette, {xlabel = "", ylabel = "", xticks = true, yticks = true,
    ytext = formatTick} = {}) {
    ctx.font = FONT;
    ctx.lineWidth = 1;
    ctx.strokeStyle = palette.grid;
    ctx.fillStyle = palette.muted;
    const xs = xticks ? niceTicks(this.x0, this.x1, this.width / 90) : [];
    const ys = Array.isArray(yticks) ? yticks
      : yticks ? niceTicks(this.y0, this.y1, this.height / 38) : [];
    ctx.beginPath();
    for (const v of xs) {
      const p = Math.round(this.x(v)) + 0.5;
      ctx.moveTo(p, this.top);
      ctx.lineTo(p, this.top + this.height);
    }
    for (const v of ys) {
      const p = Math.round(this.y(v)) + 0.5;
      ctx.moveTo(this.left, p);
      ctx.lineTo(this.left + this.width, p);
    }
    ctx.stroke();
    ctx.textAlign = "center";
    ctx.textBaseline = "top";
    const end = this.left + this.width + END;
    for (const v of xs) {
      const text = formatTick(v), half = ctx.measureText(text).width / 2;
      ctx.fillText(text, Math.min(this.x(v), end - half), this.top + this.height + 6);
    }
    if (xlabel) ctx.fillText(xlabel, this.left + this.width - 4, this.top + this.height + 6);
    ctx.textAlign = "right";
    ctx.textBaseline = "middle";
    for (const v of ys) this.besideLeft(ctx, ytext(v), this.y(v));
    if (ylabel) {
      ctx.textAlign = "left";
      ctx.fillText(ylabel, this.left + 6, this.top + 10);
    }
  }

  // Left of the area; a text with less room than it needs is drawn narrower.
  besideLeft(ctx, text, y) {
    ctx.fillText(text, this.left - 8, y, this.left - 9);
  }
}

// Data units of a pixel, null outside; the nearest place inside for a pointer that is held.
function placeIn(area, px, py, held) {
  if (!area) return null;
  const fx = (px - area.left) / area.width, fy = (py - area.top) / area.height;
  const clamp = (f) => Math.min(Math.max(f, 0), 1);
  if (!held && (fx !== clamp(fx) || fy !== clamp(fy))) return null;
  return [area.x0 + clamp(fx) * (area.x1 - area.x0), area.y1 - clamp(fy) * (area.y1 - area.y0)];
}

function polyline(ctx, xs, ys, from, to) {
  ctx.beginPath();
  for (let i = from; i < to; i++) ctx.lineTo(xs(i), ys(i));
  ctx.stroke();
}
