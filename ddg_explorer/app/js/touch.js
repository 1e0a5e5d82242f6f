// The pointer on a lane's picture: paints a field, draws a profile, sets a point in the phase plane.
// Places are sent in data units, at most once an animation frame; views say where a place is.

const CLICK = 4; // pixels a press may move and still be a click

class Touch {
  constructor(canvas, stage, model, lane) {
    Object.assign(this, {canvas, model, lane, points: [], raf: 0, pressed: null});
    this.brush = document.createElement("span");
    this.brush.className = "brush";
    stage.appendChild(this.brush);
    const on = (name, react) => canvas.addEventListener(name, react);
    on("pointerdown", (e) => this.press(e));
    on("pointermove", (e) => this.move(e));
    on("pointerup", (e) => this.lift(e));
    on("pointercancel", () => this.end());
    on("pointerleave", () => { if (!this.pressed) this.brush.hidden = true; });
    this.equip();
  }

  // Differences from the truth are shown, not states: nothing to be drawn there.
  get tool() {
    return this.model.spec.show === "difference" ? "" : this.model.touch.tool || "";
  }

  equip() {
    this.canvas.style.touchAction = this.tool ? "none" : "";
    this.canvas.style.cursor = this.tool ? "crosshair" : "";
    this.canvas.dataset.tool = this.tool;
    this.brush.hidden = true;
    this.brush.dataset.tool = this.tool;
  }

  where(event) {
    const box = this.canvas.getBoundingClientRect();
    const [px, py] = [event.clientX - box.left, event.clientY - box.top];
    const place = this.lane.view?.place?.(px, py, Boolean(this.pressed?.inside));
    return {px, py, place};
  }

  press(event) {
    if (!this.tool || event.button) return;
    const at = this.where(event);
    if (!at.place) return;
    event.preventDefault();
    this.canvas.setPointerCapture(event.pointerId);
    this.pressed = {...at, inside: true, moved: false};
    this.joined = false;
    if (this.tool === "paint") this.add(at.place);
    else this.from = at.place;
    this.show(at);
  }

  move(event) {
    const at = this.where(event);
    this.show(at);
    const start = this.pressed;
    if (!start) return;
    if (Math.hypot(at.px - start.px, at.py - start.py) > CLICK) start.moved = true;
    if (this.tool === "paint") this.stroke(at.place);
    else if (this.tool === "draw" && start.moved && at.place) {
      if (this.from) this.add(this.from);
      this.from = null;
      this.add(at.place);
    }
  }

  // Between two events a fast pointer has crossed what lies there too.
  stroke(place) {
    const last = this.last;
    if (place && last) {
      const [dx, dy] = [place[0] - last[0], place[1] - last[1]];
      const parts = Math.min(64, Math.ceil(Math.hypot(dx, dy) / (this.model.touch.radius || 1) * 2));
      for (let k = 1; k < parts; k++) this.add([last[0] + (dx * k) / parts, last[1] + (dy * k) / parts]);
    }
    if (place) this.add(place);
    this.last = place;
  }

  add(place) {
    this.points.push(place);
    this.last = place;
    if (!this.raf) this.raf = requestAnimationFrame(() => this.send());
  }

  send() {
    cancelAnimationFrame(this.raf);
    this.raf = 0;
    if (!this.points.length) return;
    const kind = this.tool === "paint" ? "disk" : "curve";
    this.model.send_msg({edit: {kind, points: this.points, joined: this.joined}});
    this.joined = true;
    this.points = [];
    if (kind === "curve") this.from = this.last; // the next part begins where this one ends
  }

  lift(event) {
    const start = this.pressed;
    if (!start) return;
    const at = this.where(event);
    this.send();
    if (this.tool === "draw" && !start.moved) {
      this.model.send_msg({edit: {kind: "add", points: [start.place], joined: false}});
    }
    if (this.tool === "drag" && at.place) this.model.send_msg({start: at.place});
    else if (this.tool !== "drag") this.model.send_msg({lift: true});
    this.end();
    this.show(at);
  }

  end() {
    this.send();
    this.pressed = this.last = this.from = null;
    this.brush.hidden = true;
  }

  show({px, py, place}) {
    const visible = Boolean(this.tool && place && (this.tool !== "drag" || this.pressed));
    this.brush.hidden = !visible || this.tool === "draw";
    if (this.brush.hidden) return;
    const size = this.tool === "paint"
      ? (2 * this.model.touch.radius * this.canvas.clientWidth) / this.model.spec.length[0] : 18;
    Object.assign(this.brush.style, {
      width: `${size}px`, height: `${size}px`,
      left: `${this.canvas.offsetLeft + px - size / 2}px`,
      top: `${this.canvas.offsetTop + py - size / 2}px`,
    });
  }
}
