// A button and the dialog it opens: every preset with a picture, grouped by system.

const EDGE = 14; // pixels that are left free around what is scrolled to
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

  const card = (entry) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "card";
    button.dataset.preset = `${entry.system}.${entry.preset}`;
    const picture = document.createElement("img");
    picture.alt = "";
    if (entry.picture) picture.src = entry.picture;
    const title = document.createElement("strong");
    title.textContent = entry.title;
    const line = document.createElement("span");
    line.textContent = entry.line;
    button.append(picture, title, line);
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
  model.on("chosen", mark);
  fill();
  return root;
}
