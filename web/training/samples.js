/** Sample pictures of a training on its node: those of one step, a slider through all steps, and each of them large. */

import { element } from "../panel.js";

/** Those of the newest step are shown until a person goes back; then that step stays. */
export class Samples {
  constructor(api) {
    Object.assign(this, { api, steps: [], chosen: null, prompt: "" });
    this.root = element("div", "samples");
    this.root.hidden = true;
    this.pictures = element("div", "pictures");
    this.slider = Object.assign(element("input"), { type: "range", min: 0, value: 0 });
    this.slider.setAttribute("aria-label", "step of the sample pictures");
    this.slider.addEventListener("input", () => this.go(Number(this.slider.value)));
    this.slider.addEventListener("pointerdown", (event) => event.stopPropagation()); // or the node would be dragged
    this.label = element("span", "step");
    const way = element("div", "way");
    way.append(this.slider, this.label);
    this.root.append(this.pictures, way);
  }

  get at() {
    return this.chosen ?? this.steps.length - 1;
  }

  /** samples: {subfolder, steps, endings} as the server tells it, or nothing; prompt: of the training. */
  update(samples, prompt) {
    const { subfolder = "", steps = [], endings = [] } = samples ?? {};
    const asBefore = JSON.stringify([subfolder, steps, endings, prompt]);
    if (asBefore === this.known) return;
    if (prompt !== this.prompt) this.chosen = null;
    Object.assign(this, { known: asBefore, subfolder, steps, endings, prompt });
    if (this.chosen >= steps.length) this.chosen = null;
    this.root.hidden = !steps.length;
    if (steps.length) this.show();
  }

  /** Goes to the pictures of a step by its place among the steps. */
  go(at) {
    const place = Math.min(this.steps.length - 1, Math.max(0, at));
    this.chosen = place === this.steps.length - 1 ? null : place;
    this.show();
  }

  show() {
    const step = this.steps[this.at];
    Object.assign(this.slider, { max: this.steps.length - 1, value: this.at });
    this.slider.hidden = this.steps.length < 2;
    this.slider.setAttribute("aria-valuetext", `step ${step}`);
    this.label.textContent = this.words(step);
    this.pictures.replaceChildren(...this.endings.map((_, number) => this.#small(step, number)));
    this.large?.show();
  }

  words = (step) => (step ? `after step ${step}` : "before the first step");

  #small(step, number) {
    const button = Object.assign(element("button", "picture"), { type: "button", title: "Show it large" });
    button.append(this.picture(step, number));
    button.addEventListener("click", () => this.enlarge(number));
    return button;
  }

  picture(step, number) {
    const query = { filename: `step_${String(step).padStart(8, "0")}_${number + 1}.${this.endings[number]}`,
      subfolder: this.subfolder, type: "output", of: this.prompt }; // a run that goes on draws a step again
    const img = Object.assign(element("img"), { src: this.api.apiURL(`/view?${new URLSearchParams(query)}`),
      alt: `sample picture ${number + 1} ${this.words(step)}`, draggable: false });
    img.addEventListener("error", () => img.replaceWith(element("span", "gone", "not there any more")));
    return img;
  }

  enlarge(number) {
    this.large = new Large(this, number, () => { this.large = null; });
  }
}

/** A picture over the whole page. Left and right go through the steps, up and down through the prompts. */
class Large {
  constructor(samples, number, closed) {
    Object.assign(this, { samples, number });
    this.root = element("dialog", "bottega-samples");
    this.stage = element("div", "stage");
    this.words = element("div", "words");
    const foot = element("div", "foot");
    foot.append(this.#button("‹", "earlier step", -1, 0), this.words, this.#button("›", "later step", 1, 0));
    this.root.append(this.stage, foot);
    this.root.addEventListener("click", (event) => !event.target.closest(".foot") && this.root.close());
    this.root.addEventListener("keydown", (event) => this.#key(event));
    this.root.addEventListener("close", () => {
      this.root.remove();
      closed();
    });
    document.body.append(this.root);
    this.root.showModal();
    this.show();
  }

  #button(sign, label, steps, pictures) {
    const made = Object.assign(element("button", "", sign), { type: "button" });
    made.setAttribute("aria-label", label);
    made.addEventListener("click", () => this.move(steps, pictures));
    return made;
  }

  #key(event) {
    event.stopPropagation(); // the graph below has keys of its own
    const [steps, pictures] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [];
    if (steps === undefined) return;
    event.preventDefault();
    this.move(steps, pictures);
  }

  move(steps, pictures) {
    this.number = Math.min(this.samples.endings.length - 1, Math.max(0, this.number + pictures));
    this.samples.go(this.samples.at + steps);
  }

  show() {
    const { steps, at, endings } = this.samples;
    this.stage.replaceChildren(this.samples.picture(steps[at], this.number));
    const which = endings.length > 1 ? `picture ${this.number + 1} of ${endings.length}, ` : "";
    this.words.textContent = `${which}${this.samples.words(steps[at])} (${at + 1} of ${steps.length})`;
  }
}
