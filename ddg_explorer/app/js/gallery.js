// A button and the dialog it opens: every preset with a picture, grouped by system.

const EDGE = 14; // pixels that are left free around what is scrolled to
const SIZE = [208, 117]; // pixels of the pictures
const GRID = "M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 13h7v7h-7z";

export function render({model}) {
  const root = document.createElement("div");
  root.innerHTML = `
    <button type="button" class="opener" title="Gallery of systems and presets" aria-label="Gallery"
      aria-haspopup="dialog"><svg viewBox="0 0 24 24" aria-hidden="true"><path d="${GRID}"/></svg></button>
    <dialog aria-label="Gallery"><header><h2>Gallery</h2>
      <button type="button" class="close" aria-label="Close">×</button></header>
      <div class="content" tabindex="-1"></div></dialog>`;
  const [opener, dialog, close, content] =
    [".opener", "dialog", ".close", ".content"].map((s) => root.querySelector(s));

  // The pictures are grey levels, rows of the tables: they are coloured anew with the theme.
  const paint = ({canvas, scale, levels}) => {
    if (!model.tables[scale]) return; // on its way
    const table = new Uint32Array(unpack(model.tables[scale]));
    const ctx = canvas.getContext("2d"), image = ctx.createImageData(canvas.width, canvas.height);
    const pixels = new Uint32Array(image.data.buffer);
    for (let i = 0; i < pixels.length; i++) pixels[i] = table[levels[i]];
    ctx.putImageData(image, 0, 0);
  };
  let painted = [];
  const recolour = () => painted.forEach(paint);
  const picture = (entry) => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = SIZE;
    canvas.setAttribute("aria-hidden", "true");
    if (!entry.picture) return canvas;
    const image = Object.assign(new Image(), {src: entry.picture});
    image.decode().then(() => {
      const ctx = canvas.getContext("2d", {willReadFrequently: true});
      ctx.drawImage(image, 0, 0, ...SIZE);
      const levels = ctx.getImageData(0, 0, ...SIZE).data.filter((_, i) => i % 4 === 0);
      painted.push({canvas, scale: entry.scale, levels});
      paint(painted.at(-1));
      canvas.dataset.painted = "true";
    });
    return canvas;
  };
  const card = (entry) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "card";
    button.dataset.preset = `${entry.system}.${entry.preset}`;
    const title = document.createElement("strong");
    title.textContent = entry.title;
    const line = document.createElement("span");
    line.textContent = entry.line;
    button.append(picture(entry), title, line);
    if (entry.race) {
      const badge = document.createElement("em");
      badge.textContent = "trained models race";
      button.append(badge);
    }
    button.addEventListener("click", () => {
      dialog.close();
      model.send_msg({system: entry.system, preset: entry.preset});
    });
    return button;
  };
  const mark = () => {
    for (const button of content.querySelectorAll(".card")) {
      const chosen = button.dataset.preset === model.chosen;
      button.toggleAttribute("aria-current", chosen);
      if (chosen && dialog.open) reveal(button);
    }
  };
  // From the top where the card is seen there, else from its system's title, else from its row.
  const reveal = (button) => {
    const end = button.getBoundingClientRect().bottom;
    const starts = [content.firstElementChild, button.closest("section"), button];
    const above = starts.map((e) => e.getBoundingClientRect().top);
    const fit = above.findIndex((top) => end - top <= content.clientHeight - 2 * EDGE);
    content.scrollTop += above[fit < 0 ? 2 : fit] - content.getBoundingClientRect().top - EDGE;
  };
  const fill = () => {
    painted = [];
    content.replaceChildren(...model.groups.map(([title, cards]) => {
      const section = document.createElement("section");
      const heading = document.createElement("h3");
      heading.textContent = title;
      const row = document.createElement("div");
      row.className = "cards";
      row.append(...cards.map(card));
      section.append(heading, row);
      return section;
    }));
    mark();
  };
  opener.addEventListener("click", () => {
    if (!model.groups.length) {
      content.textContent = "Loading…";
      model.send_msg({open: true});
    }
    dialog.showModal();
    mark();
  });
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (e) => {
    if (e.target === dialog) dialog.close(); // the backdrop
  });
  model.on("groups", fill);
  model.on("tables", recolour);
  model.on("chosen", mark);
  fill();
  return root;
}
