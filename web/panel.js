/** A part of a node that only shows: it is never saved and never sent, and it stands below the node's own widgets. */

/** Adds `root` to a node. `height()` says how many pixels it wants; 0 hides it. */
export function addPanel(node, name, root, height) {
  const widget = node.addDOMWidget(name, "BOTTEGA_PANEL", root, {
    serialize: false,
    getMinHeight: height,
    getValue: () => undefined,
    setValue: () => {},
    hideOnZoom: false,
    margin: 8,
  });
  widget.serialize = false;
  widget.label = name.replace("bottega_", ""); // what an app calls it
  return widget;
}

/**
 * Lets the node grow to what its panels want, and never shrinks what a person has made larger.
 *
 * Nodes 2.0 are as high as what is in them, and know better what that is: `computeSize` counts inputs that they hide.
 */
export function fit(node) {
  const [width, height] = node.size;
  const [, wanted] = LiteGraph.vueNodesMode ? node.size : node.computeSize();
  if (wanted > height) node.setSize([width, wanted]);
  node.setDirtyCanvas?.(true, true);
}

const SETTLED = 150; // milliseconds: Nodes 2.0 grow a frame after what is in them

/**
 * Shows something that may make a node higher than it was `before`. What it gives back makes it lower by as much, and by
 * nothing of what a person adds meanwhile.
 */
export function growing(node, show, before = node.size[1]) {
  let after = null;
  show();
  setTimeout(() => { after ??= node.size[1]; }, SETTLED);
  return () => {
    after ??= node.size[1];
    if (after > before) node.setSize([node.size[0], node.size[1] - (after - before)]);
  };
}

/** Calls `added` after whatever `target` does under this name. */
export function chain(target, name, added) {
  const before = target[name];
  target[name] = function (...args) {
    const result = before?.apply(this, args);
    added.apply(this, args);
    return result;
  };
}

export function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

export function styleSheet(url) {
  document.head.append(Object.assign(document.createElement("link"), { rel: "stylesheet", href: url.href }));
}
