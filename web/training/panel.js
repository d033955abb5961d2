/** A training as it runs, on its node: the curve of its losses, its pace, and a button that stops it and keeps the result. */

import { addPanel, chain, element, fit } from "../panel.js";
import { drawCurve, Losses } from "./curve.js";

const NODE = "BottegaTrainLora";
const EVENT = "bottega.training";
const STOP = "/bottega/training/stop";
const HEIGHT = 150;

const panels = new Map(); // by node, while the node is in the graph

/** What to do with a new node of the page. */
export const showTraining = ({ api }) => (node) => {
  if (node.comfyClass !== NODE) return;
  const panel = new Panel(node, api);
  panels.set(node, panel);
  chain(node, "onRemoved", () => {
    panels.delete(node);
    panel.dispose();
  });
};

/** Listens for trainings, once a page. */
export function followTrainings({ app, api }) {
  api.addEventListener(EVENT, ({ detail }) => panels.get(nodeOf(app.graph, detail.node))?.update(detail));
  const over = () => panels.forEach((panel) => panel.rest());
  for (const name of ["execution_success", "execution_error", "execution_interrupted"]) api.addEventListener(name, over);
}

/** The node of an execution id; `3:1` is node 1 inside the subgraph node 3. Ids are numbers or names. */
function nodeOf(graph, id) {
  const find = (within, part) => within?.getNodeById(part) ?? within?.getNodeById(Number(part));
  const [first, ...rest] = String(id).split(":");
  return rest.reduce((node, part) => find(node?.subgraph, part), find(graph.rootGraph ?? graph, first));
}

class Panel {
  constructor(node, api) {
    Object.assign(this, { node, api, losses: new Losses(), state: null, drawn: false });
    this.root = element("div", "bottega-training");
    this.root.hidden = true;
    this.canvas = element("canvas");
    this.words = element("div", "words");
    this.button = element("button", "", "Stop and keep");
    this.button.title = "Ends the training after this step; the LoRA so far is saved and the graph goes on with it.";
    this.button.addEventListener("click", () => this.stop());
    const foot = element("div", "foot");
    foot.append(this.words, this.button);
    this.root.append(this.canvas, foot);
    addPanel(node, "bottega_training", this.root, () => (this.state ? HEIGHT : 0));
    this.observer = new ResizeObserver(() => this.state && this.#draw()); // out of sight a canvas has no size
    this.observer.observe(this.canvas);
  }

  dispose() {
    this.observer.disconnect();
  }

  update(state) {
    const first = !this.state;
    if (!this.state || state.step < this.state.step) this.losses = new Losses();
    this.state = state;
    this.losses.add(state.first, state.losses);
    this.root.hidden = false;
    this.root.style.minHeight = `${HEIGHT}px`;
    if (!this.stopping) this.button.disabled = state.step >= state.steps;
    this.words.textContent = this.#sentence();
    if (first) fit(this.node);
    this.#draw();
  }

  /** The training is over, however it ended. */
  rest() {
    this.stopping = false;
    this.button.disabled = true;
    this.button.textContent = "Stop and keep";
  }

  async stop() {
    this.stopping = true;
    this.button.disabled = true;
    this.button.textContent = "Stopping …";
    const answer = await this.api.fetchApi(STOP, {
      method: "POST", headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ node_id: this.state.node }),
    });
    if (!answer.ok || !(await answer.json()).stopping) this.rest();
  }

  #sentence() {
    const { step, steps, rate, seconds_a_step: pace, eta } = this.state;
    const loss = this.losses.smoothed().at(-1);
    return `${step} / ${steps}   loss ${loss?.toPrecision(3)}   rate ${rate.toPrecision(2)}   `
      + `${pace < 1 ? `${(1 / pace).toFixed(1)} it/s` : `${pace.toFixed(1)} s/it`}   ${clock(eta)} left`;
  }

  #draw() {
    if (this.drawn) return; // at most once a frame, and not at all while nothing comes
    this.drawn = true;
    requestAnimationFrame(() => {
      this.drawn = false;
      const style = getComputedStyle(this.root);
      const colours = { strong: style.getPropertyValue("--accent"), faint: style.getPropertyValue("--line") };
      drawCurve(this.canvas, this.losses, this.state.steps, colours);
    });
  }
}

function clock(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  return whole < 3600
    ? `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`
    : `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}
