/** The whole sentence of an error, on the node that raised it: the host's own places show the beginning, or none of it. */

import { forget, keep, recall } from "../kept.js";
import { keepTyping } from "../keys.js";
import { onGone, onOpened, settled } from "../opened.js";
import { nodeOf } from "../outputs.js";
import { addPanel, element, fit, growing } from "../panel.js";
import { areOfOne, isMine } from "../prompts.js";

const PANEL = "bottega_error";
const MOST = 240; // pixels; a longer text is scrolled
const MARGINS = 16;

const panels = new Map(); // by node, while the node is in the graph
let missed = []; // errors of workflows that were not in view

/** What to do with a new node of the page. */
export const showErrors = ({ app }) => (node) => {
  if (!node.comfyClass?.startsWith("Bottega")) return;
  const panel = new Panel(node, app);
  panels.set(node, panel);
  onOpened(node, () => panel.restore());
  onGone(node, () => {
    panels.delete(node);
    panel.observer?.disconnect();
  });
};

/** Listens for errors, once a page. The next run of the workflow takes them away. */
export function followErrors({ app, api }) {
  api.addEventListener("execution_error", async ({ detail }) => {
    await settled();
    if (isMine(app, detail.prompt_id)) panels.get(nodeOf(app, detail.node_id))?.take(detail);
    else missed.push(detail);
  });
  api.addEventListener("execution_start", async ({ detail }) => {
    await settled();
    const isBefore = (prompt) => areOfOne(app, detail.prompt_id, prompt);
    missed = missed.filter(({ prompt_id: prompt }) => !isBefore(prompt));
    forget(PANEL, isBefore);
    if (isMine(app, detail.prompt_id)) panels.forEach((panel) => panel.say(""));
  });
}

class Panel {
  constructor(node, app) {
    Object.assign(this, { node, app, text: "", height: 0 });
  }

  /** Shows an error, in the form of the host's event, until the next run of the workflow. */
  take({ exception_message: message, prompt_id: prompt }) {
    const text = message?.trim() ?? "";
    this.say(text);
    keep(this.app, this.node, PANEL, text ? { text, low: this.low } : null, prompt);
  }

  /** The error that this node had before the graph was opened anew, or while another one was open. */
  restore() {
    const late = missed.find(({ node_id: id, prompt_id: prompt }) => isMine(this.app, prompt) && nodeOf(this.app, id) === this.node);
    missed = missed.filter((detail) => detail !== late);
    if (late) return this.take(late);
    recall(this.app, this.node, PANEL, ({ text, low }) => this.say(text.trim(), low));
  }

  /** low: how high the node was without it. */
  say(text, low = undefined) {
    if (text === this.text) return;
    if (!this.root) this.#build();
    this.text = "";
    this.#show();
    this.lower?.();
    Object.assign(this, { text, low: low ?? this.node.size[1] });
    this.lower = text ? growing(this.node, () => this.#show(), this.low) : null;
    fit(this.node);
  }

  #show() {
    this.root.hidden = !this.text;
    this.words.textContent = this.text;
    this.#measure();
  }

  /** Only a node that fails gets a panel: the others stay as small as they are. */
  #build() {
    this.root = element("div", "bottega-error");
    this.root.setAttribute("role", "alert");
    this.words = element("div", "words");
    for (const name of ["pointerdown", "copy"]) this.words.addEventListener(name, (event) => event.stopPropagation());
    this.words.addEventListener("keydown", keepTyping);
    this.words.addEventListener("wheel", (event) => this.words.scrollHeight > this.words.clientHeight && event.stopPropagation());
    this.root.append(this.words);
    addPanel(this.node, PANEL, this.root, () => (this.text ? this.height + MARGINS : 0));
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
