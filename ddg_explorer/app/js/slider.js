// A slider with the number typed beside it, linear, logarithmic or integer, with an optional mark.
// Values go out as messages at once: Panel's property synchronisation would hold them for 50 ms.

const DIGITS = 4;
const QUIET = 500; // milliseconds after a person's last move
const NOTICE = 6000; // milliseconds for which a refusal stands below the track

function show(x, integer) {
  if (integer) return String(Math.round(x)).replace("-", "−");
  const short = x !== 0 && (Math.abs(x) < 1e-3 || Math.abs(x) >= 1e5)
    ? x.toExponential(DIGITS - 2).replace(/\.?0+e/, "e").replace("e+", "e")
    : String(Number(x.toPrecision(DIGITS)));
  return short.replaceAll("-", "−");
}

export function render({model}) {
  const root = document.createElement("div");
  root.className = "slider";
  root.innerHTML = `
    <div class="line"><label></label><span class="help" tabindex="0" role="note">i</span>
      <input class="typed" type="text" inputmode="decimal" autocomplete="off" spellcheck="false">
    </div>
    <div class="track"><input class="range" type="range"><span class="mark"></span></div>
    <div class="note"></div><div class="note wrong" role="alert"></div>`;
  const [label, help, typed, range, mark, note, refusal] =
    ["label", ".help", ".typed", ".range", ".mark", ".note", ".note.wrong"]
      .map((s) => root.querySelector(s));
  const integer = () => model.scale === "integer";
  const forward = (x) => (model.scale === "log" ? Math.log10(x) : x);
  const inverse = (y) => (model.scale === "log" ? 10 ** y : y);
  let latest = model.value; // what runs, or was sent last
  let touched = -QUIET, timer = 0, notice = 0;

  const fraction = (x) => {
    const [a, b] = [forward(model.start), forward(model.end)];
    return Math.min(Math.max((forward(x) - a) / (b - a), 0), 1);
  };
  const tell = teller(model, note, refusal);
  const refuse = (line) => {
    tell(line);
    typed.classList.toggle("wrong", Boolean(line));
    clearTimeout(notice);
    if (line) notice = setTimeout(() => refuse(typed.matches(".wrong:focus") ? line : ""), NOTICE);
  };
  const write = () => {
    typed.value = show(latest, integer());
    typed.classList.remove("wrong");
  };
  // Echoes of earlier values must not pull a slider back that is being moved.
  const place = () => {
    clearTimeout(timer);
    const wait = touched + QUIET - performance.now();
    if (wait > 0) {
      timer = setTimeout(place, wait);
      return;
    }
    latest = model.value;
    if (root.getRootNode().activeElement !== typed) write();
    range.value = forward(model.value);
    range.style.setProperty("--fill", `${100 * fraction(model.value)}%`);
    range.setAttribute("aria-valuetext", show(model.value, integer()));
  };
  const update = () => {
    label.textContent = model.label;
    help.title = model.doc;
    help.setAttribute("aria-label", model.doc);
    help.hidden = !model.doc;
    range.setAttribute("aria-label", model.label);
    typed.setAttribute("aria-label", `${model.label}, typed`);
    root.dataset.control = model.key;
    root.classList.toggle("compact", model.compact);
    range.min = forward(model.start);
    range.max = forward(model.end);
    range.step = integer() ? 1 : (forward(model.end) - forward(model.start)) / 400;
    range.disabled = typed.disabled = model.disabled;
    const marked = Number.isFinite(model.mark) && model.mark !== null;
    const inside = marked && model.mark >= model.start && model.mark <= model.end;
    mark.hidden = !inside;
    if (inside) mark.style.left = `calc(8px + (100% - 16px) * ${fraction(model.mark)})`;
    for (const old of root.querySelectorAll(".further")) old.remove();
    for (const [value, colour, title] of model.marks) {
      if (value < model.start || value > model.end) continue;
      const further = document.createElement("span");
      further.className = "mark further";
      further.style.left = `calc(8px + (100% - 16px) * ${fraction(value)})`;
      further.style.background = colour;
      further.title = title;
      mark.after(further);
    }
    if (!refusal.textContent) refuse("");
    place();
  };
  const send = (value) => {
    touched = performance.now();
    latest = value;
    refuse("");
    range.style.setProperty("--fill", `${100 * fraction(value)}%`);
    range.setAttribute("aria-valuetext", show(value, integer()));
    model.send_msg({value});
  };
  range.addEventListener("input", () => {
    const raw = inverse(Number(range.value));
    const value = integer() ? Math.round(raw) : Number(raw.toPrecision(DIGITS));
    send(value);
    write();
  });
  const commit = () => {
    const text = typed.value.trim();
    if (text !== show(latest, integer())) { // what is shown is rounded: only a changed text is a choice
      const value = text ? Number(text.replace(",", ".").replaceAll("−", "-")) : NaN;
      if (!(value >= model.low && value <= model.high)) {
        const [low, high] = [model.low, model.high].map((x) => show(x, integer()));
        refuse(`“${text}” is refused: a number from ${low} to ${high}`);
        return;
      }
      send(integer() ? Math.round(value) : value);
    }
    refuse("");
    write();
  };
  typed.addEventListener("keydown", (e) => {
    if (e.key === "Enter") commit();
    if (e.key === "Escape") {
      refuse("");
      write();
    }
  });
  typed.addEventListener("change", commit);
  typed.addEventListener("blur", write);
  typed.addEventListener("focus", () => typed.select());
  model.on("value", place);
  model.on("remove", () => [timer, notice].forEach(clearTimeout));
  for (const name of ["label", "doc", "start", "end", "scale", "mark", "marks", "note", "disabled", "key"]) {
    model.on(name, update);
  }
  update();
  return root;
}
