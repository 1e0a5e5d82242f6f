// One lane: title, live canvas, colour bar with its limits, read-outs (js/readouts.js) and a last
// line (js/foot.js).
// Python sends binary frames (ddg_explorer/app/wire.py); the newest is painted in the next animation
// frame and acknowledged after that, so no queue can grow and a hidden tab asks for nothing.

const VIEWS = {field: FieldView, profile: ProfileView, phase: PhaseView};
const HEADER_BYTES = 128;

function readHeader(buffer) {
  const v = new DataView(buffer);
  const f = (k) => v.getFloat64(16 + 8 * k, true);
  return {
    seq: v.getUint32(0, true), epoch: v.getUint32(4, true), count: v.getUint32(8, true),
    t: f(0), dt: f(1), low: f(2), high: f(3), residual: f(4), iterations: f(5),
    ms: f(6), rate: f(7), energy: f(8), drift: f(9), steps: f(10),
    extra: f(11), own: f(12), error: f(13),
  };
}

// A frame has been painted (`Receipt` of ddg_explorer/app/canvas.py).
class Receipt extends Bokeh.require("core/bokeh_events").ModelEvent {
  constructor(seq) {
    super();
    this.seq = seq;
  }

  get event_values() {
    return {model: this.origin, data: {ack: this.seq}};
  }
}
Receipt.prototype.event_name = "ddg_receipt";

class LaneView {
  constructor(model, bokeh) {
    this.model = model;
    this.bokeh = bokeh;
    this.painted = 0;
    this.times = [];
    this.raf = 0;
    this.pending = null;
    this.build();
    this.env = {canvas: this.canvas, ctx: this.canvas.getContext("2d", {alpha: false})};
    this.retheme();
    this.respec();
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(this.root);
  }

  build() {
    const {model} = this;
    this.root = element("section", "lane");
    const head = element("header", "", this.root);
    this.swatch = element("span", "swatch", head);
    this.title = element("h2", "", head, model.heading);
    this.subtitle = element("span", "subtitle", head, model.subtitle);
    this.scheme = element("select", "scheme", head);
    this.scheme.onchange = () => model.send_msg({integrator: this.scheme.value});
    this.remove = element("button", "remove", head, "×");
    this.remove.title = "Remove this lane";
    this.remove.onclick = () => model.send_msg({remove: true});
    this.stage = element("div", "stage", this.root);
    this.canvas = element("canvas", "", this.stage);
    this.canvas.setAttribute("role", "img");
    Object.assign(this.canvas.dataset, {testid: "field", lane: model.lane, seq: "0", t: "0", dt: "0"});
    this.touch = new Touch(this.canvas, this.stage, model, this);
    this.absent = element("div", "absent", this.root);
    this.reason = element("p", "", this.absent);
    this.train = element("button", "auto", this.absent, "Train for this");
    this.train.onclick = () => model.send_msg({train: true});
    this.bar = element("div", "bar", this.root);
    this.low = this.limitInput("low", "lowest colour");
    this.gradient = element("canvas", "gradient", this.bar);
    this.gradient.width = 256;
    this.gradient.height = 1;
    this.high = this.limitInput("high", "highest colour");
    this.auto = element("button", "auto", this.bar, "Auto");
    this.auto.title = "Fit the limits to the present state";
    this.auto.onclick = () => model.send_msg({limits: "auto"});
    this.readouts = new Readouts(this.root);
    this.foot = new Foot(this.root);
    this.arrange();
  }

  arrange() {
    this.readouts.arrange(this.model.compact, this.model.spec.conserves);
    if (this.last) this.write(this.last, performance.now());
  }

  // Names of the lane's parts: no other lane has the same.
  call() {
    const {title, heading} = this.model;
    this.title.textContent = heading;
    this.scheme.setAttribute("aria-label", `Integrator of ${title}`);
    this.remove.setAttribute("aria-label", `Remove ${title}`);
    this.canvas.setAttribute("aria-label", `${title}: live picture`);
  }

  offer() {
    const {model} = this;
    this.scheme.replaceChildren(...model.schemes.map(([key, label]) => new Option(label, key)));
    this.scheme.value = model.scheme;
    this.scheme.hidden = !model.schemes.length;
    this.remove.hidden = !model.removable;
    this.root.classList.toggle("compact", model.compact);
    this.root.classList.toggle("empty", Boolean(model.misfit));
    this.reason.textContent = model.misfit;
    this.train.hidden = !model.trainable;
  }

  // The other limit goes along as it is: what is shown of it is rounded.
  limitInput(name, label) {
    const input = element("input", "", this.bar);
    input.setAttribute("aria-label", label);
    input.inputMode = "decimal";
    const shown = () => (this.last ? formatNumber(this.last[name]) : "");
    input.onkeydown = (e) => {
      if (e.key !== "Escape") return;
      input.value = shown();
      input.blur();
    };
    input.onchange = () => {
      if (input.value === shown()) return;
      const typed = Number(input.value.trim().replace(",", ".").replaceAll("−", "-") || NaN);
      const {low, high} = {...this.last, [name]: typed};
      if (this.last) this.model.send_msg({limits: [low, high]});
      input.blur();
    };
    return input;
  }

  retheme() {
    const {model, env} = this;
    env.palette = model.palette;
    env.colour = model.colour;
    env.table = new Uint32Array(new Uint8Array(model.table).slice().buffer);
    colour(this.root, {...model.palette, lane: env.colour});
    const ctx = this.gradient.getContext("2d");
    const row = ctx.createImageData(256, 1);
    new Uint32Array(row.data.buffer).set(env.table);
    ctx.putImageData(row, 0, 0);
    if (this.view?.recolour) this.view.recolour();
    if (this.view) this.schedule();
  }

  // A new spec of the same kind and shape (contours of another H) keeps the history.
  respec() {
    const {model, env} = this;
    const same = this.view && env.spec.kind === model.spec.kind
      && String(env.spec.shape) === String(model.spec.shape)
      && String(env.spec.names) === String(model.spec.names)
      && env.spec.show === model.spec.show;
    if (env.spec?.conserves !== model.spec.conserves) this.arrange();
    env.spec = model.spec;
    this.root.dataset.kind = model.spec.kind;
    this.touch.equip();
    if (same) return;
    this.view = model.spec.kind ? new VIEWS[model.spec.kind](env) : null;
    this.epoch = -1;
    this.resize();
  }

  // A lane on a page behind another tab is laid out with no width.
  get visible() {
    return !document.hidden && !this.folded;
  }

  resize() {
    const width = this.stage.clientWidth;
    const folded = this.root.isConnected && this.root.offsetWidth === 0;
    if (folded !== Boolean(this.folded)) {
      this.folded = folded;
      this.onvisibility?.();
    }
    if (!this.view || !width) return;
    this.env.maxField = Math.min(600, Math.max(320, window.innerHeight - 380));
    this.env.compact = this.model.compact;
    const [w, h] = this.view.size(width);
    Object.assign(this.env, {width: w, height: h});
    this.canvas.style.width = `${w}px`;
    this.canvas.style.height = `${h}px`;
    this.schedule();
  }

  take(buffer, follows) {
    const header = {...readHeader(buffer), follows};
    if (!this.view) return;
    if (header.epoch !== this.epoch) {
      this.view.forget();
      this.epoch = header.epoch;
    }
    this.view.absorb(header, buffer, HEADER_BYTES);
    this.pending = header;
    this.resting = false;
    this.schedule();
  }

  schedule() {
    if (!this.raf) this.raf = requestAnimationFrame(() => this.paint());
  }

  paint() {
    this.raf = 0;
    if (this.env.width) this.view.paint();
    const header = this.pending;
    if (!header) return;
    this.pending = null;
    this.painted += 1;
    const now = performance.now();
    this.times.push(now);
    while (this.times[0] < now - 1000) this.times.shift();
    const d = this.canvas.dataset;
    d.seq = this.painted;
    d.t = header.t;
    d.dt = header.dt;
    d.epoch = header.epoch;
    d.energy = header.energy;
    d.drift = header.drift;
    d.own = header.own;
    d.error = header.error;
    d.low = header.low;
    d.high = header.high;
    if (!header.follows) this.bokeh.trigger_event(new Receipt(header.seq));
    const due = now - (this.written || 0) > 160 || header.steps === 0;
    if (due || this.resting) this.write(header, now);
    this.last = header;
  }

  // Figures change six times a second: faster cannot be read.
  write(header, now) {
    this.written = now;
    this.readouts.write(header, this.resting ? 0 : this.times.length, this.model.device);
    const active = this.root.getRootNode().activeElement;
    if (active !== this.low) this.low.value = formatNumber(header.low);
    if (active !== this.high) this.high.value = formatNumber(header.high);
  }

  // No more frames come: the figures become those of the newest one, when that is painted.
  rest() {
    this.resting = true;
    this.times = [];
    if (this.last && !this.pending) this.write(this.last, performance.now());
  }
}

export function render({model, view}) {
  const lane = new LaneView(model, view.model);
  const listen = (name, react) => model.on(name, react);
  listen("msg:custom", (m) => {
    if (m.frame) lane.take(unpack(m.frame), m.follows);
    if (m.rest) lane.rest();
  });
  listen("spec", () => lane.respec());
  listen("touch", () => lane.touch.equip());
  for (const name of ["palette", "table", "colour"]) listen(name, () => lane.retheme());
  const texts = () => {
    lane.call();
    lane.subtitle.textContent = model.subtitle;
    lane.foot.show(model);
  };
  for (const name of ["title", "heading", "subtitle", "device", "status", "note", "reason"]) listen(name, texts);
  texts();
  for (const name of ["misfit", "scheme", "schemes", "removable", "trainable"]) {
    listen(name, () => lane.offer());
  }
  listen("compact", () => {
    lane.offer();
    lane.arrange();
    lane.resize();
  });
  lane.offer();
  const visibility = () => model.send_msg({visible: lane.visible});
  lane.onvisibility = visibility;
  document.addEventListener("visibilitychange", visibility);
  model.on("remove", () => {
    document.removeEventListener("visibilitychange", visibility);
    cancelAnimationFrame(lane.raf);
    lane.observer.disconnect();
  });
  model.send_msg({ready: true, visible: lane.visible});
  return lane.root;
}
