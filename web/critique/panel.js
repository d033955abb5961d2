/** What Art Critique found, on the node: score, radar, reasons, and the heat map of whatever criterion is pointed at. */

import { keep, recall } from "../kept.js";
import { onOpened } from "../opened.js";
import { onOutput } from "../outputs.js";
import { addPanel, element, fit } from "../panel.js";
import { levels, opposites } from "./opposites.js";
import { radar } from "./radar.js";
import { shape } from "./svg.js";

const NODE = "BottegaCritique";
const OUTPUT = "bottega_critique";
const HEIGHT = 390;
const WITHOUT_REASONS = 300;
const TRY = 34; // for each of what to try

/** What to do with a new node of the page. */
export const showCritique = ({ app, api }) => (node) => {
  if (node.comfyClass !== NODE) return;
  const panel = new Panel(node, app, api);
  onOutput(node, (output, { prompt }) => panel.read(output, prompt));
  onOpened(node, () => panel.restore());
};

class Panel {
  constructor(node, app, api) {
    Object.assign(this, { node, app, api, pictures: [], shown: 0, pinned: null });
    this.root = element("div", "bottega-critique");
    this.root.hidden = true;
    this.widget = addPanel(node, OUTPUT, this.root, () => (this.pictures.length ? this.height : 0));
  }

  read(output, prompt) {
    const found = output?.[OUTPUT]?.[0];
    if (!found) return;
    this.show(JSON.parse(found));
    keep(this.app, this.node, OUTPUT, this.pictures, prompt);
  }

  /** What this node showed before the graph was loaded anew. */
  restore() {
    recall(this.app, this.node, OUTPUT, (pictures) => {
      try {
        this.show(pictures);
      } catch (error) {
        Object.assign(this, { pictures: [] });
        this.root.hidden = true;
        throw error;
      }
    });
  }

  show(pictures) {
    this.pictures = pictures;
    this.shown = Math.min(this.shown, this.pictures.length - 1);
    this.root.hidden = false;
    this.height = (this.pictures.some(({ reasons }) => reasons.length) ? HEIGHT : WITHOUT_REASONS)
      + TRY * Math.max(...this.pictures.map(({ tries }) => tries?.length ?? 0));
    this.root.style.minHeight = `${this.height}px`;
    this.draw();
    fit(this.node);
  }

  draw() {
    const picture = this.pictures[this.shown];
    const rated = picture.criteria.filter(({ typicality }) => typicality !== null);
    this.heat = shape("svg", { class: "heat" });
    this.caption = element("div", "caption");
    this.key = element("div", "key");
    const values = rated.map(({ id, name, typicality }) => ({ id, name, value: typicality }));
    const draw = picture.score === null ? opposites : values.length < 3 ? levels : radar; // two make no shape
    const drawn = draw(picture.score === null ? picture.positions : values, (id) => this.point(id));
    const upper = element("div", "upper");
    const stage = element("div", "stage");
    stage.append(this.heat, this.caption, this.key);
    upper.append(drawn, stage);
    this.root.replaceChildren(this.#head(picture), upper, this.#reasons(picture));
    this.point(null);
  }

  /** Shows the heat map of a criterion, or of the heaviest one when nothing is pointed at. */
  point(id) {
    const picture = this.pictures[this.shown];
    const shown = picture.score === null ? picture.positions : picture.criteria;
    const mapped = shown.filter(({ tile }) => tile !== null);
    const chosen = mapped.find((each) => each.id === id) ?? strongest(mapped);
    for (const part of this.root.querySelectorAll("[data-id]")) part.classList.toggle("on", part.dataset.id === chosen?.id);
    this.#explain(chosen?.ends);
    if (!chosen) {
      this.caption.textContent = picture.ground.filename ? "No heat map for these criteria."
        : "No heat map of this picture; the report says why.";
      return;
    }
    const asked = id && chosen.id !== id ? shown.find((each) => each.id === id) : null;
    this.caption.textContent = asked
      ? `${asked.name} belongs to the picture as a whole; shown: ${chosen.name}`
      : `${chosen.name}: ${chosen.measure ?? chosen.column}`; // kept results of older versions have the column alone
    this.#place(picture, chosen.tile);
  }

  /** What dark and bright mean: "adds nothing", a bar of the colours between, "adds most". */
  #explain(ends) {
    this.key.hidden = !ends;
    this.key.replaceChildren(...(ends ? [element("span", "", ends[0]), element("i"), element("span", "", ends[1])] : []));
  }

  /** Lays one tile of the strip over the picture in grey; SVG keeps its shape, whatever room there is. */
  #place({ ground, heat, size: [width, height] }, tile) {
    this.heat.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const window = shape("svg", { width, height, overflow: "hidden" });  // or the tiles beside it show where there is room
    const under = shape("image", { href: this.#url(ground), width, height, preserveAspectRatio: "none" });
    window.append(under, shape("image", { class: "strip", href: this.#url(heat), width, height: height * heat.tiles, x: 0,
      y: -tile * height, preserveAspectRatio: "none" }));
    this.heat.replaceChildren(window);
  }

  #url({ filename, subfolder, type }) {
    return this.api.apiURL(`/view?${new URLSearchParams({ filename, subfolder, type })}`);
  }

  #head({ score, band, rubric }) {
    const head = element("div", "head");
    const words = element("div", "words");
    words.append(element("div", "band", score === null ? "Positions only: neither end is better"
      : `95 % band ${band.map(Math.round).join(" to ")}`), element("div", "rubric", rubric || "default rubric"));
    head.append(...(score === null ? [] : [element("div", "score", String(Math.round(score)))]), words,
      ...this.#pager());
    return head;
  }

  #pager() {
    if (this.pictures.length < 2) return [];
    const pager = element("div", "pager");
    const button = (sign, step, label) => {
      const made = element("button", "", sign);
      made.setAttribute("aria-label", label);
      made.addEventListener("click", () => {
        this.shown = (this.shown + step + this.pictures.length) % this.pictures.length;
        this.draw();
      });
      return made;
    };
    pager.append(button("‹", -1, "previous picture"),
      element("span", "", `${this.shown + 1} / ${this.pictures.length}`), button("›", 1, "next picture"));
    return [pager];
  }

  #reasons({ reasons, tries = [] }) {
    const list = element("ul", "reasons");
    for (const reason of reasons.slice(0, 3)) list.append(emphasised(reason));
    for (const edit of tries) {
      const item = emphasised(`Try: ${edit}`);
      item.className = "try";
      item.title = "Done to this picture and measured again";
      list.append(item);
    }
    return list;
  }
}

/** The criterion that moves the score most; of pairs of opposites the one furthest from the middle. */
function strongest(criteria) {
  const moves = ({ contribution, place }) => Math.abs(contribution ?? place ?? 0);
  return criteria.reduce((best, each) => (!best || moves(each) > moves(best) ? each : best), null);
}

/** `**Line** adds ...` as an item whose first word is bold, and nothing in it is ever read as HTML. */
function emphasised(text) {
  const item = element("li");
  text.split("**").forEach((part, i) => item.append(i % 2 ? element("b", "", part) : part));
  return item;
}
