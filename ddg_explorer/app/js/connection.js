// The connection to the server: one line while it is lost, and the way back.
//
// lost: the socket has closed, or nothing has come for SILENCE → the server answers → the session
// goes on over a new socket; or, where it has ended, the page is loaded anew: its address carries
// the scene.
//
// Bokeh gives up after five attempts and half a minute, is deaf after a message that was cut in two,
// and takes a document again only where it has no binary data. Whatever is reached for inside it is
// tried; where it is not there, the page is loaded anew.

const BEAT = 4000, SILENCE = 12000, ANSWER = 5000, GONE = 30000; // ms
// What acts on the page; a control that is held is let go of.
const ACTS = ["pointerdown", "mousedown", "touchstart", "click", "dblclick", "keydown", "input",
  "change"];
const CONTROLS = "button, input, select, textarea, canvas, [tabindex]";
const LOOK = `
  #ddg-connection { position: fixed; inset: 0; z-index: 5000; pointer-events: none;
    background: rgb(128 128 128 / 25%); backdrop-filter: grayscale(1); }
  #ddg-connection span { position: absolute; top: 4px; left: 50%; transform: translateX(-50%);
    box-sizing: border-box; width: max-content; max-width: calc(100% - 16px); padding: 9px 16px;
    border: 1px solid rgb(255 255 255 / 35%); border-radius: 8px; background: #1c2430; color: #fff;
    font: 500 14px/20px Roboto, "Inter", "Helvetica Neue", "Segoe UI", "Liberation Sans",
    sans-serif; }
  [id^=reconnect-notification-] { display: none !important; }`; // Panel's line, which does not stay
const LOST = "Connection lost. Trying again…";
const ENDED = "The server does not answer. The page goes on by itself when it is back.";

function* everything(root) {
  for (const part of root.querySelectorAll("*")) {
    yield part;
    if (part.shadowRoot) yield* everything(part.shadowRoot);
  }
}

// One for each document, which outlives its views.
class Connection {
  static of(document) {
    document.ddgConnection ??= new Connection(document);
    return document.ddgConnection;
  }

  constructor(bokeh) {
    this.bokeh = bokeh;
    this.since = 0; // when it was lost; 0 while it stands
    this.link = null; // Bokeh's ClientConnection, once its socket has closed
    this.closed = false;
    this.heard = this.ticked = Date.now();
    const apply = bokeh.apply_json_patch.bind(bokeh);
    bokeh.apply_json_patch = (...patch) => {
      this.heard = Date.now();
      if (this.since && !this.closed) this.found();
      apply(...patch);
    };
    bokeh.on_event("connection_lost", (_, event) => this.onclosed(event.connection.deref()));
    document.head.append(Object.assign(document.createElement("style"), {textContent: LOOK}));
    this.shade = Object.assign(document.createElement("div"), {id: "ddg-connection"});
    this.line = document.createElement("span");
    this.shade.append(this.line);
    this.shade.setAttribute("role", "alert");
    window.addEventListener("online", () => this.hurry?.());
    document.addEventListener("visibilitychange", () => this.hurry?.());
    for (const act of ACTS) window.addEventListener(act, (event) => this.hear(event), true);
    setInterval(() => this.tick(), BEAT);
  }

  // Nothing is done that would be lost, and the page can still be read.
  hear(event) {
    const browsers = event.ctrlKey || event.metaKey || event.altKey;
    if (this.since && !browsers) event.stopImmediatePropagation();
  }

  // A page has been shown, for the first time or again.
  async shown(model, view) {
    this.model = model;
    this.heard = Date.now();
    if (!this.since) return;
    await settled(view);
    for (const part of everything(document)) {
      if (this.scrolled.has(part.className)) part.scrollTop = this.scrolled.get(part.className);
    }
    this.found();
  }

  // The time in which a page sleeps does not count.
  tick() {
    if (document.hidden || this.since) return;
    const now = Date.now();
    if (now - this.ticked > 2 * BEAT) this.heard = now;
    this.ticked = now;
    if (now - this.heard > SILENCE) this.lose();
    else this.model.send_msg({beat: true});
  }

  onclosed(link) {
    this.closed = true;
    try {
      this.prepare(link);
      this.link = link;
    } catch {
      this.link = null;
    }
    this.settle?.(false);
    this.lose();
  }

  // A new receiver, a token that has not expired, and the document with its binary data.
  prepare(link) {
    link._receiver = new link._receiver.constructor();
    link.token = this.model.token;
    if (link === this.link) return;
    const {bokeh} = this, pull = link._pull_doc_json.bind(link);
    let buffers;
    link._pull_doc_json = async () => {
      const reply = await pull();
      buffers = reply.buffers;
      return reply;
    };
    bokeh.replace_with_json = (json) => {
      try {
        if (!JSON.stringify(json).includes(this.model.birth)) throw new Error("another session");
        this.replace(bokeh.constructor.from_json(json, [], buffers));
      } catch {
        this.reload();
      }
    };
  }

  // As Bokeh's, without telling the server of roots that it has sent.
  replace(next) {
    const {bokeh} = this, {config} = next, roots = [...next.roots()];
    bokeh.clear({sync: false});
    next.clear({sync: false});
    bokeh.config = config;
    for (const root of roots) bokeh.add_root(root, {sync: false});
    bokeh._new_models.clear();
  }

  lose() {
    if (this.since) return;
    this.since = Date.now();
    const parts = [...everything(document)];
    this.scrolled = new Map(parts.filter((p) => p.scrollTop).map((p) => [p.className, p.scrollTop]));
    this.locked = parts.filter((part) => part.matches(CONTROLS) && !part.inert);
    for (const part of this.locked) part.inert = true;
    this.line.textContent = LOST;
    document.body.append(this.shade);
    this.mend();
  }

  found() {
    if (!this.since) return;
    this.since = 0;
    this.closed = false;
    this.heard = this.ticked = Date.now();
    this.shade.remove();
    for (const part of this.locked) part.inert = false;
    this.settle?.(true);
    this.hurry?.();
  }

  // Two failures with a server that answers: the session has ended, or nobody listens to the socket.
  async mend() {
    const {since} = this, over = () => this.since !== since;
    let failures = 0;
    for (let wait = 0; !over(); wait = Date.now() - since > GONE ? 3000 : 1000) {
      await Promise.race([later(wait), new Promise((done) => { this.hurry = done; })]);
      const answered = !over() && await this.answers();
      if (over()) return;
      if (!answered) {
        if (Date.now() - since > GONE) this.line.textContent = ENDED;
        continue;
      }
      if (this.closed && !this.link) return this.reload();
      if (await this.resume() || over()) return;
      failures += 1;
      if (failures > 1) return this.reload();
    }
  }

  async answers() {
    const script = [...document.scripts].find((s) => s.src.startsWith(window.location.origin));
    const options = {method: "HEAD", cache: "no-store", signal: AbortSignal.timeout(ANSWER)};
    const url = script?.src ?? window.location.href;
    return fetch(url, options).then((answer) => answer.status < 500, () => false);
  }

  resume() {
    const outcome = new Promise((done) => { this.settle = done; });
    if (this.closed) this.link.reconnect();
    else this.model.send_msg({beat: true});
    return Promise.race([outcome, later(this.closed ? 3 * ANSWER : ANSWER).then(() => false)]);
  }

  // Whatever is said from here on would reach a session that knows nothing of it.
  reload() {
    this.link?.close();
    const again = {playing: this.model.playing};
    window.history.replaceState({...window.history.state, ddgAgain: again}, "");
    window.location.reload();
  }
}

// Of a page that has been loaded anew by itself, whether it was playing; null later, and of others.
function again() {
  const {ddgAgain, ...state} = window.history.state ?? {};
  if (ddgAgain) window.history.replaceState(state, "");
  return ddgAgain ?? null;
}
