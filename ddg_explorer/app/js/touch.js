// Gestures on a lane's canvas: paint a field, click or draw on a profile, drag a phase point.
// A view says what a place on the canvas is (`locate`), null outside its picture.

const CLICK = 5; // pixels within which a press is a click

class Touch {
  constructor(lane) {
    this.lane = lane;
    this.stroke = 0;
    this.points = [];
    this.pointer = null;
    const {canvas} = lane;
    canvas.style.touchAction = "pan-y";
    canvas.addEventListener("pointerdown", (e) => this.press(e));
    canvas.addEventListener("pointermove", (e) => this.move(e));
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, (e) => this.release(e));
    }
    canvas.addEventListener("pointerleave", () => this.lane.hover(null));
  }

  place(e) {
    const {canvas, view} = this.lane;
    if (!view?.locate) return null;
    const box = canvas.getBoundingClientRect();
    return view.locate(
      ((e.clientX - box.left) / box.width) * canvas.clientWidth,
      ((e.clientY - box.top) / box.height) * canvas.clientHeight);
  }

  press(e) {
    const point = e.button === 0 ? this.place(e) : null;
    if (!point) return;
    e.preventDefault();
    this.lane.canvas.setPointerCapture(e.pointerId);
    this.pointer = e.pointerId;
    this.origin = [e.clientX, e.clientY];
    this.stroke += 1;
    this.points = [point];
    this.moved = false;
    if (this.lane.view.gesture === "disk") this.send("disk");
  }

  move(e) {
    const point = this.place(e);
    this.lane.hover(point, e);
    if (e.pointerId !== this.pointer || !point) return;
    const [x, y] = this.origin;
    this.moved = this.moved || Math.hypot(e.clientX - x, e.clientY - y) > CLICK;
    this.points.push(point);
    if (this.lane.view.gesture === "disk") this.send("disk");
    else this.lane.sketch(this.points, this.moved);
  }

  release(e) {
    if (e.pointerId !== this.pointer) return;
    this.pointer = null;
    const {gesture} = this.lane.view;
    if (gesture === "curve") {
      if (this.moved) this.send("curve");
      else {
        this.points = this.points.slice(0, 1);
        this.send("add");
      }
    } else if (gesture === "point" && this.points.length) {
      this.lane.model.send_msg({start: this.points[this.points.length - 1]});
    }
    this.points = [];
    this.lane.sketch(null);
  }

  // Painted places go out once a frame of the screen.
  send(kind) {
    if (kind !== "disk") {
      this.post(kind, this.points);
      return;
    }
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => {
      this.waiting = 0;
      this.post("disk", this.points);
      this.points = this.points.slice(-1);
    });
  }

  post(kind, points) {
    if (points.length) {
      this.lane.model.send_msg({edit: {kind, points, stroke: this.stroke}});
    }
  }
}
