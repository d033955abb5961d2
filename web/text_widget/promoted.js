/** The editors of promoted texts on the node of a subgraph. */

import { onGone } from "../opened.js";
import { chain } from "../panel.js";
import { source } from "./promotion.js";
import { refreshEditors } from "./widget.js";

const NARROWEST = 360; // pixels of a subgraph's node with an editor

/**
 * What to do with a new node of the page: the editors of what it promotes, where the host lets a node make its own widgets.
 *
 * kinds: the class of the editor by the type of its widget.
 */
export const showPromoted = (kinds, { app, api }) => (node) => {
  const make = node.createPromotedHostWidget;
  if (!node.subgraph || typeof make !== "function") return;
  const editors = new Map(); // by the name of the input: Nodes 2.0 go on showing the element they have
  node.createPromotedHostWidget = function (input, id, inner) {
    // The file may be promoted, and its choice then tells the bars which blocks there are.
    queueMicrotask(() => watch(this, input.name));
    const Kind = kinds[inner.type];
    if (!Kind) return make.call(this, input, id, inner);
    const widget = make.call(this, input, id, textArea());
    if (!widget) return widget; // not settled in its graph yet, or a host that has changed
    if (!editors.has(input.name)) editors.set(input.name, new (promoted(Kind))({ node: this, name: input.name, app, api }));
    editors.get(input.name).take(widget, inner.type);
    return widget;
  };
  chain(node, "onConfigure", () => queueMicrotask(() => editors.forEach((editor) => editor.come())));
  chain(node, "onConnectionsChange", () => editors.size && refreshEditors()); // those inside are locked with it
  onGone(node, () => editors.forEach((editor) => editor.dispose()));
};

/** The one kind of widget that the host makes an element for on the node of a subgraph. */
const textArea = () => ({ element: document.createElement("textarea") });

function watch(node, name) {
  const widget = node.widgets?.find((each) => each.name === name);
  if (widget) chain(widget, "callback", () => refreshEditors());
}

/** The same editor for a text that is kept on the node of a subgraph. */
const promoted = (Kind) => class extends Kind {
  get source() {
    return source(this.node, this.name);
  }

  get view() {
    return ((this.node.properties.bottega_views ??= {})[this.name] ??= {});
  }

  /** Takes the place of the text area in a widget of the host, whose value is kept in the host's store. */
  take(widget, type) {
    const { getValue, setValue } = widget.options;
    this.widget = widget;
    this.own = { get: getValue, set: setValue };
    Object.assign(widget, { element: this.root, type });
    Object.assign(widget.options, this.looks, {
      minNodeSize: [NARROWEST, 0], setValue: (text) => this.set(typeof text === "string" ? text : ""),
      onDraw: () => this.follow(),
    });
    queueMicrotask(() => this.come());
  }

  /** Once it is on its node, and again when the node is configured. */
  come() {
    const [width, height] = this.node.size;
    if (width < NARROWEST) this.node.setSize([NARROWEST, height]);
    this.follow();
    this.refresh();
    this.claim();
  }
};
