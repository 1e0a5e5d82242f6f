// The last line of a lane: why it has stopped, or else a few words on where its model belongs, with
// the whole sentence for whoever asks. Its room is kept, so that nothing moves when it comes.

class Foot {
  constructor(parent) {
    this.root = element("div", "foot", parent);
    this.status = element("p", "status", this.root);
    this.status.setAttribute("role", "status");
    this.note = element("button", "note", this.root);
    this.words = element("span", "", this.note);
    element("i", "", this.note, "i").setAttribute("aria-hidden", "true");
    this.reason = element("p", "reason", this.root);
    this.reason.setAttribute("role", "note");
    this.note.onclick = () => this.open(this.reason.hidden);
    this.note.onblur = () => this.open(false);
    this.note.onkeydown = (e) => { if (e.key === "Escape") this.open(false); };
    this.open(false);
  }

  open(shown) {
    this.reason.hidden = !shown;
    this.note.setAttribute("aria-expanded", String(shown));
  }

  show({status, note, reason}) {
    // A line that is too long breaks between its parts.
    const parts = status ? status.split(/(?<=[:;]) /) : [];
    this.status.replaceChildren(...parts.flatMap((part, i) => [
      i ? " " : "", element("span", "", null, part),
    ]));
    this.root.classList.toggle("stopped", Boolean(status));
    this.words.textContent = note;
    this.reason.textContent = reason;
    this.note.hidden = Boolean(status) || !note;
    if (this.note.hidden) this.open(false);
  }
}
