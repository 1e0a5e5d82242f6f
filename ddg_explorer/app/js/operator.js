// The entries of a structure operator as a small table of numbers, with actions below it.
// Edits go out as messages at once. A cell takes typed numbers, arrow keys, and sideways dragging.

const DIGITS = 4;
const QUIET = 500; // milliseconds after an edit in which echoes of earlier ones are not shown
const SETTLED = 1500; // after which a table shows what runs, also where an edit was refused
const THRESHOLD = 4; // pixels of travel after which a press is a drag

function show(x) {
  if (x === 0) return "0";
  const size = Math.abs(x);
  if (size < 1e-3 || size >= 1e5) {
    return x.toExponential(2).replace(/\.?0+e/, "e").replace("e+", "e").replace(/-/g, "−");
  }
  return String(Number(x.toPrecision(DIGITS))).replace("-", "−");
}

function read(text) {
  const plain = text.trim().replace(",", ".").replace(/−/g, "-");
  return plain === "" ? NaN : Number(plain);
}

export function render({model}) {
  const root = document.createElement("div");
  root.className = "operator";
  root.dataset.control = "entries";
  root.innerHTML = `<div class="row"><span class="factor"></span><div class="table"></div></div>
    <div class="note"></div><div class="note wrong" role="alert"></div>
    <div class="actions"></div>`;
  const [factor, table, note, refusal, actions] =
    [".factor", ".table", ".note", ".note.wrong", ".actions"].map((s) => root.querySelector(s));
  let cells = [], values = [], touched = -QUIET, timer = 0;

  const refuse = teller(model, note, refusal);
  const stride = () => {
    const top = Math.max(...values.map(Math.abs), 0);
    return top > 0 ? 10 ** (Math.floor(Math.log10(top)) - 1) : 0.1;
  };
  const tint = () => {
    const top = Math.max(...values.map(Math.abs), 1e-300);
    cells.forEach((cell, i) => {
      const share = Math.round(34 * Math.sqrt(Math.abs(values[i]) / top));
      cell.style.setProperty("--share", `${share}%`);
      cell.classList.toggle("negative", values[i] < 0);
    });
  };
  const put = (index, value) => {
    if (!Number.isFinite(value) || Math.abs(value) > model.limit) {
      cells[index].classList.add("wrong");
      cells[index].setAttribute("aria-invalid", "true");
      refuse(`an entry must be a number from −${model.limit} to ${model.limit}`);
      return false;
    }
    cells[index].classList.remove("wrong");
    cells[index].removeAttribute("aria-invalid");
    refuse("");
    if (value !== values[index]) {
      values = values.with(index, value);
      tint();
      touched = performance.now();
      clearTimeout(timer);
      timer = setTimeout(() => place(false), SETTLED);
      model.send_msg({entries: values});
    }
    return true;
  };
  const nudge = (index, steps) => {
    const step = stride();
    const value = Number((values[index] + steps * step).toPrecision(12));
    if (put(index, Math.abs(value) < step * 1e-6 ? 0 : value)) cells[index].value = show(values[index]);
  };
  const listen = (cell, index) => {
    let start = null;
    cell.addEventListener("keydown", (e) => {
      if (e.key === "Enter" && put(index, read(cell.value))) delete cell.dataset.typing;
      if (e.key === "Escape") place(true);
      const way = {ArrowUp: 1, ArrowDown: -1}[e.key];
      if (way) {
        e.preventDefault();
        nudge(index, way * (e.shiftKey ? 10 : 1));
      }
    });
    cell.addEventListener("change", () => {
      // what is shown is rounded: only a changed text is an edit
      if (cell.value !== show(values[index])) put(index, read(cell.value));
    });
    cell.addEventListener("input", () => { cell.dataset.typing = "yes"; });
    cell.addEventListener("blur", () => { delete cell.dataset.typing; });
    cell.addEventListener("focus", () => cell.select());
    cell.addEventListener("pointerdown", (e) => {
      if (e.button === 0) start = {x: e.clientX, value: values[index], step: stride(), moved: false};
    });
    cell.addEventListener("pointermove", (e) => {
      if (!start) return;
      const travel = e.clientX - start.x;
      if (!start.moved && Math.abs(travel) < THRESHOLD) return;
      if (!start.moved) cell.setPointerCapture(e.pointerId);
      start.moved = true;
      const turns = Math.round(travel / THRESHOLD / 2);
      const value = Number((start.value + turns * start.step).toPrecision(12));
      if (put(index, value)) cell.value = show(value);
    });
    for (const end of ["pointerup", "pointercancel"]) {
      cell.addEventListener(end, () => {
        if (start && start.moved) cell.blur();
        start = null;
      });
    }
  };
  const build = () => {
    const labelled = model.names.length > 0;
    table.style.gridTemplateColumns = `${labelled ? "auto " : ""}repeat(${model.columns}, 1fr)`;
    table.replaceChildren();
    cells = [];
    const head = (text) => {
      const span = document.createElement("span");
      span.className = "name";
      span.textContent = text;
      table.append(span);
    };
    if (labelled) ["", ...model.names].forEach(head);
    for (let i = 0; i < model.rows * model.columns; i++) {
      if (labelled && i % model.columns === 0) head(model.names[i / model.columns]);
      const cell = document.createElement("input");
      cell.type = "text";
      cell.inputMode = "decimal";
      cell.autocomplete = "off";
      cell.spellcheck = false;
      cell.title = "Type a number, press ↑ or ↓ (with Shift ten times as far), or drag sideways.";
      const place = [Math.floor(i / model.columns) + 1, (i % model.columns) + 1];
      cell.setAttribute("aria-label", `Entry, row ${place[0]}, column ${place[1]}`);
      listen(cell, i);
      cells.push(cell);
      table.append(cell);
    }
  };
  const place = (all) => {
    if (model.values.length !== model.rows * model.columns) return;
    const wait = touched + QUIET - performance.now();
    if (!all && wait > 0) {
      clearTimeout(timer);
      timer = setTimeout(() => place(false), wait);
      return;
    }
    if (cells.length !== model.values.length || table.dataset.names !== model.names.join()) {
      build();
      table.dataset.names = model.names.join();
    }
    values = [...model.values];
    const focused = root.getRootNode().activeElement;
    cells.forEach((cell, i) => {
      // a text that is being typed, or was refused, is the person's
      if (!all && cell === focused && cell.dataset.typing) return;
      cell.value = show(values[i]);
      cell.classList.remove("wrong");
      cell.removeAttribute("aria-invalid");
    });
    tint();
    if (!table.querySelector(".wrong")) refuse("");
  };
  const update = () => {
    root.hidden = model.values.length === 0;
    factor.textContent = model.factor;
    factor.title = model.factor_doc;
    factor.hidden = !model.factor;
    if (!refusal.textContent) refuse("");
    actions.replaceChildren(...model.actions.map(([key, label, doc, enabled]) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = label;
      button.title = doc;
      button.dataset.action = key;
      button.disabled = !enabled;
      button.addEventListener("click", () => model.send_msg({action: key}));
      return button;
    }));
  };
  for (const name of ["values", "rows", "columns", "names"]) {
    model.on(name, () => { place(false); update(); });
  }
  for (const name of ["factor", "factor_doc", "note", "actions"]) model.on(name, update);
  model.on("remove", () => clearTimeout(timer));
  place(true);
  update();
  return root;
}
