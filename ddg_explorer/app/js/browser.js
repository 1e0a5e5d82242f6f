// The page's address, window, clipboard, downloads and connection (js/connection.js).

function save(bytes, name) {
  const url = URL.createObjectURL(new Blob([bytes], {type: "application/octet-stream"}));
  const link = Object.assign(document.createElement("a"), {href: url, download: name});
  document.body.appendChild(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

// The clipboard's interface is missing on pages that are neither local nor encrypted.
async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = Object.assign(document.createElement("textarea"), {value: text});
  document.body.appendChild(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error("refused");
}

export function render({model, view}) {
  model.on("msg:custom", ({search, bytes, name, copied}) => {
    const {origin, pathname, hash} = window.location;
    if (search !== undefined) {
      window.history.replaceState(window.history.state, "", pathname + search + hash);
    }
    if (bytes) save(bytes, name);
    if (copied !== undefined) {
      copy(origin + pathname + copied).then(
        () => model.send_msg({copied: true}), () => model.send_msg({copied: false}));
    }
  });
  const narrow = window.matchMedia(`(max-width: ${model.narrow - 0.02}px)`);
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)");
  const tell = (still) => model.send_msg({width: window.innerWidth, still});
  const crossed = () => tell(false), asked = () => tell(calm.matches);
  narrow.addEventListener("change", crossed);
  calm.addEventListener("change", asked);
  // The browser may keep a page that is left, for the way back.
  const left = ({persisted}) => {
    if (!persisted && !Connection.of(view.model.document).since) model.send_msg({gone: true});
  };
  if (model.birth) window.addEventListener("pagehide", left);
  model.on("remove", () => {
    window.removeEventListener("pagehide", left);
    narrow.removeEventListener("change", crossed);
    calm.removeEventListener("change", asked);
  });
  if (model.birth) Connection.of(view.model.document).shown(model, view);
  const before = again();
  tell(calm.matches || before?.playing === false);
  if (before) model.send_msg({again: true});
  return document.createElement("span");
}
