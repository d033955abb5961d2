/** What a node reports of its last run, on the node: a few lines, and all of it when unfolded. */

import { keep, recall } from "../kept.js";
import { keepTyping } from "../keys.js";
import { onGone, onOpened } from "../opened.js";
import { onOutput } from "../outputs.js";
import { addPanel, element, fit, growing } from "../panel.js";
import { blocks } from "./markdown.js";

const OURS = /^Bottega/;
const PANEL = "bottega_report";
const FOLDED = 96; // pixels of text
const UNFOLDED = 420;
const NARROWEST = 300; // pixels of a node whose report can be read
const FOOT = 24;
const MARGINS = 16;

/** What to do with a new node of the page. */
export const showReport = ({ app }) => (node) => {
  if (!OURS.test(node.comfyClass ?? "")) return;
  const report = new Report(node, app);
  onOutput(node, (output, { prompt }) => report.read(output, prompt));
  onOpened(node, () => report.restore());
};

class Report {
  constructor(node, app) {
    Object.assign(this, { node, app, text: "", open: false, height: 0 });
  }

  read(output, prompt) {
    if (!output || !("text" in output)) return;
    const said = [output.text].flat().filter((part) => typeof part === "string").join("\n\n").trim();
    this.prompt = prompt;
    keep(this.app, this.node, PANEL, said ? { text: said, open: this.open, low: this.low } : null, prompt);
    if (said === this.text) return;
    this.show(said, this.open);
    fit(this.node);
  }

  /** What this node said before the graph was loaded anew. */
  restore() {
    recall(this.app, this.node, PANEL, ({ text, open, low }, prompt) => {
      if (text === this.text) return;
      const show = () => this.show(text.trim(), Boolean(open));
      if (open) this.lower = growing(this.node, show, (this.low = low));
      else show();
      this.prompt = prompt;
    });
  }

  show(text, open) {
    if (text && !this.root) this.#build();
    Object.assign(this, { text, open });
    if (!this.root) return;
    this.root.hidden = !text;
    this.page.replaceChildren(...(text ? blocks(text) : []));
    this.body.scrollTop = 0;
    this.measure();
  }

  /** Only a node that has something to say gets a panel: the others stay as small as they are. */
  #build() {
    this.root = element("div", "bottega-report");
    this.body = element("div", "body");
    this.page = element("div", "page");
    this.body.append(this.page);
    this.body.tabIndex = 0;
    this.body.setAttribute("aria-label", "report");
    this.handle = button("handle", "", () => this.unfold(!this.open));
    this.copier = button("copy", "Copy", () => this.copy());
    this.copier.title = "Copy the report as Markdown";
    const foot = element("div", "foot");
    foot.append(this.handle, this.copier);
    this.root.append(this.body, foot);
    for (const name of ["pointerdown", "copy"]) this.body.addEventListener(name, (event) => event.stopPropagation());
    this.body.addEventListener("keydown", keepTyping);
    this.body.addEventListener("wheel", (event) => this.#scrolls() && event.stopPropagation());
    addPanel(this.node, PANEL, this.root, () => (this.text ? this.height + MARGINS : 0));
    const [width, height] = this.node.size;
    if (width < NARROWEST) this.node.setSize([NARROWEST, height]);
    const observer = new ResizeObserver(() => this.measure());
    observer.observe(this.root);
    onGone(this.node, () => observer.disconnect());
  }

  #scrolls = () => this.open && this.body.scrollHeight > this.body.clientHeight + 1;

  unfold(open) {
    this.open = open;
    this.low = open ? this.node.size[1] : undefined;
    keep(this.app, this.node, PANEL, { text: this.text, open, low: this.low }, this.prompt);
    this.body.scrollTop = 0;
    const measured = growing(this.node, () => this.measure());
    this.lower?.();
    this.lower = open ? measured : null;
    fit(this.node);
  }

  /** Asks for the room that the text needs at this width, up to the most that it may have. */
  measure() {
    if (!this.text || !this.root.clientWidth) return;
    const natural = this.page.offsetHeight;
    const most = this.open ? UNFOLDED : FOLDED;
    const height = Math.min(natural, most) + FOOT;
    this.root.classList.toggle("open", this.open);
    const cut = natural > this.body.clientHeight + 2 && !this.open;
    this.root.classList.toggle("cut", cut);
    this.handle.hidden = natural <= FOLDED || (!cut && !this.open); // the node may be higher than it has to be
    this.handle.textContent = this.open ? "Less" : "All of it";
    this.handle.setAttribute("aria-expanded", String(this.open));
    if (height === this.height) return;
    this.height = height;
    this.root.style.minHeight = `${height}px`;
    fit(this.node);
  }

  async copy() {
    const done = await copied(this.text);
    this.copier.textContent = done ? "Copied" : "Not allowed";
    setTimeout(() => { this.copier.textContent = "Copy"; }, 1200);
  }
}

function button(className, text, act) {
  const made = element("button", className, text);
  made.type = "button";
  made.addEventListener("click", act);
  return made;
}

/** Pages from another machine without TLS have no clipboard, only the old command. */
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = element("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}
