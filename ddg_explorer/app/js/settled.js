// When a page has been built and stands on the screen.

// A hidden page paints nothing, and is answered for all the same.
const painted = () => new Promise((done) => {
  requestAnimationFrame(() => requestAnimationFrame(done));
  setTimeout(done, 250);
});

const built = (view) => Promise.all([view.ready, ...(view.child_views ?? []).map(built)]);

const later = (ms) => new Promise((done) => setTimeout(done, ms));

// What is added to a part that is still being built can be lost.
const settled = (view) => Promise.race([built(view.root), later(5000)]).then(painted);
