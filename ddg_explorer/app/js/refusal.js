// What stands below a control: a refusal, or where there is none the control's note.

const teller = (model, note, refusal) => (line) => {
  refusal.textContent = line;
  note.textContent = model.note;
  note.hidden = Boolean(line) || !model.note;
};
