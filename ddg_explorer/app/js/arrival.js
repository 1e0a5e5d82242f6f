// Tells when what has come stands on the screen, so that the next piece of the page may follow.

// A hidden page paints nothing, and is answered for all the same.
const painted = () => new Promise((done) => {
  requestAnimationFrame(() => requestAnimationFrame(done));
  setTimeout(done, 250);
});

const built = (view) => Promise.all([view.ready, ...(view.child_views ?? []).map(built)]);

const later = (ms) => new Promise((done) => setTimeout(done, ms));

// What is added to a part that is still being built can be lost.
const settled = (view) => Promise.race([built(view.root), later(5000)]).then(painted);

export function render({model, view}) {
  delete document.documentElement.dataset.ready;
  model.on("msg:custom", async ({more}) => {
    await settled(view);
    if (more) model.send_msg({painted: true});
    else document.documentElement.dataset.ready = "true";
  });
  settled(view).then(() => model.send_msg({painted: true}));
  return document.createElement("span");
}
