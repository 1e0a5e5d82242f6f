// Tells when what has come stands on the screen (js/settled.js), so that the next piece of the page
// may follow.

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
