/** The whole sentence of an error, on the node that raised it: the host's own places show the beginning, or none of it. */

import { onGone, settled } from "../opened.js";
import { nodeOf } from "../outputs.js";
import { addPanel, element, fit } from "../panel.js";
import { isMine } from "../prompts.js";

const MOST = 240; // pixels; a longer text is scrolled
const MARGINS = 16;

const panels = new Map(); // by node, while the node is in the graph

/** What to do with a new node of the page. */
export const showErrors = (node) => {
  if (!node.comfyClass?.startsWith("Bottega")) return;
  const panel = new Panel(node);
  panels.set(node, panel);
  onGone(node, () => {
    panels.delete(node);
    panel.observer?.disconnect();
  });
};

/** Listens for errors, once a page. The next run of the workflow takes them away. */
export function followErrors({ app, api }) {
  api.addEventListener("execution_error", async ({ detail }) => {
    await settled();
    if (isMine(app, detail.prompt_id)) panels.get(nodeOf(app, detail.node_id))?.say(detail.exception_message?.trim());
  });
  api.addEventListener("execution_start", async ({ detail }) => {
    await settled();
    if (isMine(app, detail.prompt_id)) panels.forEach((panel) => panel.say(""));
  });
}

class Panel {
  constructor(node) {
    Object.assign(this, { node, text: "", height: 0 });
  }

  say(text = "") {
    if (text === this.text) return;
    if (!this.root) this.#build();
    this.text = text;
    this.root.hidden = !text;
    this.words.textContent = text;
    const before = this.height;
    this.#measure();
    if (!text) this.node.setSize([this.node.size[0], this.node.size[1] - before]); // what the panel had made it grow
    fit(this.node);
  }

  /** Only a node that fails gets a panel: the others stay as small as they are. */
  #build() {
    this.root = element("div", "bottega-error");
    this.root.setAttribute("role", "alert");
    this.words = element("div", "words");
    for (const name of ["pointerdown", "copy", "keydown"]) this.words.addEventListener(name, (event) => event.stopPropagation());
    this.words.addEventListener("wheel", (event) => this.words.scrollHeight > this.words.clientHeight && event.stopPropagation());
    this.root.append(this.words);
    addPanel(this.node, "bottega_error", this.root, () => (this.text ? this.height + MARGINS : 0));
    this.observer = new ResizeObserver(() => this.#measure());
    this.observer.observe(this.words);
  }

  #measure() {
    const height = this.text ? Math.min(MOST, this.words.scrollHeight + 2) : 0;
    if (height === this.height) return;
    this.height = height;
    this.root.style.minHeight = `${height}px`;
    fit(this.node);
  }
}
