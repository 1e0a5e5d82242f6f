// What the pointer does, undo, the time slider, remembered moments, and the page's keys.

const KEYS = {" ": "play", ArrowRight: "step", r: "reset"};
const TYPING = "input, textarea, select, [contenteditable], [role=slider], [role=tab], [role=menu],"
  + " [role=listbox], [role=combobox], [role=dialog]";
const ICON = {
  undo: "M12.5 8c-2.6 0-5 1-6.9 2.6L2 7v9h9l-3.6-3.6A8 8 0 0 1 20 16l2.4-.8A10.5 10.5 0 0 0 12.5 8z",
  edit: "M3 17.2V21h3.8L17.8 9.9l-3.7-3.7zM20.7 7a1 1 0 0 0 0-1.4l-2.3-2.3a1 1 0 0 0-1.4 0l-1.8 1.8"
    + " 3.7 3.7z",
  mark: "M17 3H7a2 2 0 0 0-2 2v16l7-3 7 3V5a2 2 0 0 0-2-2z",
};

const icon = (name) => `<svg viewBox="0 0 24 24" aria-hidden="true"><path d="${ICON[name]}"/></svg>`;

export function render({model}) {
  const root = document.createElement("div");
  root.className = "timebar";
  root.innerHTML = `
    <button class="tool"><span class="dot"></span><span class="label"></span></button>
    <button class="undo" title="Take back the last edit, on all lanes">${icon("undo")}Undo</button>
    <div class="time"><span class="from"></span>
      <input class="range" type="range" step="any" aria-label="Time"
        title="Back to an earlier time, all lanes; Play goes on from there">
      <span class="now"></span></div>
    <button class="remember" title="Remember this moment: all lanes, settings and clock">${
      icon("mark")}Remember</button>
    <div class="moments"></div>`;
  const [tool, label, undo, range, from, now, remember, moments] =
    [".tool", ".label", ".undo", ".range", ".from", ".now", ".remember", ".moments"]
      .map((s) => root.querySelector(s));
  let held = false;

  const text = (t) => {
    const usual = t >= 1000 ? 1 : t >= 100 ? 0.1 : 0.01;
    return formatTime(t, Math.min(usual, (range.max - range.min) / 100));
  };
  const place = () => {
    const share = (range.value - range.min) / (range.max - range.min || 1);
    range.style.setProperty("--fill", `${100 * share}%`);
    now.textContent = `t = ${text(Number(range.value))}`;
  };
  const update = () => {
    tool.hidden = !model.tool;
    label.textContent = model.tool;
    tool.title = model.hint;
    tool.setAttribute("aria-pressed", String(model.touching));
    undo.disabled = !model.undoable;
  };
  const button = (label, content, act) => {
    const made = document.createElement("button");
    made.innerHTML = content;
    made.title = label;
    made.setAttribute("aria-label", label);
    made.onclick = act;
    return made;
  };
  const remembered = () => {
    if (moments.querySelector("input")) return; // a name is being typed
    moments.replaceChildren(...model.moments.map(([name, title, label, picture]) => {
      const chip = document.createElement("span");
      chip.className = "chip";
      const back = document.createElement("button");
      back.textContent = `${title}  ${label.split(" · ")[0]}`;
      if (picture) {
        const image = Object.assign(document.createElement("img"), {src: picture, alt: ""});
        back.prepend(image);
        chip.classList.add("pictured");
      }
      back.title = `Back to ${label}`;
      back.onclick = () => model.send_msg({recall: name});
      const edit = button(`Rename ${title}`, icon("edit"), () => rename(back, name, title));
      const drop = button(`Forget ${title}`, "×", () => model.send_msg({drop: name}));
      chip.append(back, edit, drop);
      return chip;
    }));
    moments.hidden = !model.moments.length;
  };
  // Enter or leaving the field keeps the name, Escape the one before.
  const rename = (back, name, title) => {
    const input = document.createElement("input");
    Object.assign(input, {value: title, maxLength: model.longest, title: "Enter keeps the name"});
    input.setAttribute("aria-label", `Name of ${title}`);
    let typing = true;
    const end = (keep) => {
      if (!typing) return;
      typing = false;
      if (keep) model.send_msg({rename: [name, input.value]});
      input.remove();
      remembered();
    };
    input.onblur = () => end(true);
    input.onkeydown = (event) => {
      if (event.isComposing) return; // Enter chooses among characters
      if (event.key === "Enter" || event.key === "Escape") end(event.key === "Enter");
    };
    back.replaceWith(input);
    input.select();
  };
  tool.onclick = () => model.send_msg({touch: !model.touching});
  undo.onclick = () => model.send_msg({undo: true});
  remember.onclick = () => model.send_msg({remember: true});
  range.addEventListener("pointerdown", () => { held = true; });
  for (const name of ["pointerup", "pointercancel", "change"]) {
    range.addEventListener(name, () => { held = false; });
  }
  range.addEventListener("input", () => {
    place();
    model.send_msg({go: Number(range.value)});
  });
  const onKey = (event) => {
    const target = event.composedPath()[0];
    const name = KEYS[event.key];
    if (!model.keyboard || !name || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.defaultPrevented || !root.offsetWidth || target.closest?.(TYPING)) return;
    if (event.key === " " && target.closest?.("button, a, summary")) return;
    event.preventDefault();
    if (!event.repeat || name === "step") model.send_msg({key: name});
  };
  document.addEventListener("keydown", onKey);
  model.on("msg:custom", ({clock}) => {
    if (!clock || held) return;
    const [t, first, last] = clock;
    range.min = first;
    range.max = Math.max(last, t, first + 1e-9);
    range.value = t;
    from.textContent = text(first);
    place();
  });
  for (const name of ["tool", "hint", "touching", "undoable"]) model.on(name, update);
  model.on("moments", remembered);
  model.on("remove", () => document.removeEventListener("keydown", onKey));
  [range.min, range.max, range.value] = [0, 1, 0];
  from.textContent = "0";
  update();
  remembered();
  place();
  model.send_msg({ready: true});
  // Under a finger a canvas scrolls the page until it is asked for more.
  if (window.matchMedia("(pointer: coarse)").matches) model.send_msg({touch: false});
  return root;
}
