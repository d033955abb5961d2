/** Going on with a training that has ended early. */

/** The widget of a node that says what to go on from; null where it has none or a link brings it. */
export function resumeOf(node) {
  if (node.inputs?.some(({ name, link }) => name === "resume" && link != null)) return null;
  return node.widgets?.find(({ name }) => name === "resume") ?? null;
}

/** Writes what to go on from into the node, where a person sees it, and runs the workflow as the page's button does. */
export function goOn(app, node, resume) {
  const widget = resumeOf(node);
  if (!widget) return;
  widget.value = resume;
  widget.callback?.(resume, app.canvas, node);
  node.setDirtyCanvas?.(true, true);
  app.queuePrompt(0);
}
