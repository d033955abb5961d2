/**
 * A training as it runs, on its node: the curve of its losses, its pace, its sample pictures, a button that stops it and
 * keeps the result, and one that goes on with it.
 */

import { onGone, settled } from "../opened.js";
import { isOfTheseInputs, nodeOf } from "../outputs.js";
import { addPanel, element, fit } from "../panel.js";
import { isKnown, isMine, workflowId } from "../prompts.js";
import { drawCurve, Losses } from "./curve.js";
import { goOn, resumeOf } from "./going_on.js";
import { Samples } from "./samples.js";

const NODES = new Set(["BottegaTrainLora", "BottegaCriticTrain"]);
const EVENT = "bottega.training";
const STOP = "/bottega/training/stop";
const CURVES = "/bottega/training/curves";
const HEIGHT = 150;
const SAMPLES = 190; // pixels of the sample pictures and their slider
const ABOUT = "Thin: the loss of each step. Strong: their fading mean. A validation loss, where there is one, is in the chart and the report.";
const NOT_SENT = "Stop did not reach the server";
const NOT_DONE = "The server did not stop it";
const MOST_ASKED = 3; // times for losses that have passed this page by: a long curve has no beginning any more

const ENDS = {
  finished: ({ steps }) => `Finished: ${steps} steps`,
  stopped: ({ step, steps }) => `Stopped at step ${step} of ${steps}, and kept`,
  cancelled: ({ step, steps }) => `Cancelled at step ${step} of ${steps}`,
  failed: ({ step, steps }) => `Failed after step ${step} of ${steps}`,
  unknown: ({ step, steps }) => `Seen last at step ${step} of ${steps}; the server knows no such training any more`,
  lost: ({ step, steps }) => `Over after step ${step} of ${steps}`,
};

const panels = new Map(); // by node, while the node is in the graph

const theirs = new Map(); // prompt of another page and node -> promise of whether it trains what its node here would

/** What to do with a new node of the page. */
export const showTraining = ({ app, api }) => (node) => {
  if (!NODES.has(node.comfyClass)) return;
  const panel = new Panel(node, app, api);
  panels.set(node, panel);
  onGone(node, () => {
    panels.delete(node);
    panel.dispose();
  });
};

/** Listens for trainings, once a page. */
export function followTrainings({ app, api }) {
  api.addEventListener(EVENT, async ({ detail }) => {
    await settled();
    show({ app, api }, detail);
  });
  const themes = new MutationObserver(() => panels.forEach((panel) => panel.draw()));
  for (const part of [document.documentElement, document.body]) themes.observe(part, { attributeFilter: ["class", "style"] });
  for (const name of ["execution_success", "execution_error", "execution_interrupted"]) {
    api.addEventListener(name, ({ detail }) => panels.forEach((panel) => panel.over(detail.prompt_id)));
  }
}

/** Gives the nodes of a workflow that was just opened the curves that the server keeps. */
export async function recallTrainings({ app, api }) {
  const workflow = workflowId(app);
  if (!panels.size || !workflow) return;
  const known = await curves(api, { workflow_id: workflow });
  if (!known || workflow !== workflowId(app)) return;
  theirs.clear(); // the workflow may be another by now
  for (const state of known) show({ app, api }, state);
}

/** After a lost connection: the curves, and on a node whose training the server does not know, that it is gone. */
export async function recheckTrainings({ app, api }) {
  if (!panels.size) return;
  const shown = new Map([...panels].map(([node, panel]) => [node, panel.state]));
  const known = await curves(api, {});
  if (!known) return;
  await Promise.all(known.map((state) => show({ app, api }, state)));
  const isThere = (one) => known.some((other) => other.prompt_id === one.prompt_id && other.node === one.node);
  panels.forEach((panel, node) => panel.state && panel.state === shown.get(node) && !isThere(panel.state) && panel.end("unknown"));
}

/** The curves that the server keeps, of one workflow or all; null if it does not answer. */
async function curves(api, query) {
  try {
    const answer = await api.fetchApi(`${CURVES}?${new URLSearchParams(query)}`);
    return answer.ok ? await answer.json() : null;
  } catch {
    return null; // asked again when the connection is back
  }
}

async function show({ app, api }, state) {
  const { prompt_id: prompt, workflow_id: workflow, display_node: id } = state;
  if (!isMine(app, prompt, workflow) || !panels.has(nodeOf(app, id))) return;
  if (!isKnown(prompt)) {
    const name = `${prompt}/${id}`;
    if (!theirs.has(name)) theirs.set(name, isOfTheseInputs({ app, api }, prompt, id));
    if (!(await theirs.get(name))) return;
  }
  panels.get(nodeOf(app, id))?.update(state);
}

class Panel {
  constructor(node, app, api) {
    Object.assign(this, { node, app, api, losses: new Losses(), state: null, drawn: false });
    this.root = element("div", "bottega-training");
    this.root.hidden = true;
    this.canvas = element("canvas");
    this.canvas.title = ABOUT;
    this.samples = new Samples(api);
    this.words = element("div", "words");
    this.words.setAttribute("role", "status");
    this.button = element("button", "", "Stop and keep");
    this.button.type = "button";
    this.button.title = "Ends the training after this step; the LoRA so far is saved and the graph goes on with it.";
    this.button.addEventListener("click", () => this.stop());
    this.further = element("button", "", "Go on");
    this.further.type = "button";
    this.further.addEventListener("click", () => goOn(app, node, this.state.resume));
    const foot = element("div", "foot");
    foot.append(this.words, this.button, this.further);
    this.root.append(this.canvas, foot, this.samples.root);
    addPanel(node, "bottega_training", this.root, () => (this.state ? this.height : 0));
    this.observer = new ResizeObserver(() => this.draw()); // out of sight a canvas has no size
    this.observer.observe(this.canvas);
  }

  dispose() {
    this.observer.disconnect();
  }

  get height() {
    return HEIGHT + (this.samples.root.hidden ? 0 : SAMPLES);
  }

  update(state) {
    const same = state.prompt_id === this.state?.prompt_id && state.node === this.state.node;
    if (same && this.state.ended && !state.ended) return; // a late event
    if (!same) Object.assign(this, { losses: new Losses(), asked: 0, trouble: "" });
    if (!same || state.ended || state.step >= this.state.step) this.state = state; // or what was asked for comes late
    if (!this.losses.add(state.first, state.losses) && this.asked++ < MOST_ASKED) recallTrainings(this);
    if (!same || state.ended) this.#rest();
    this.#show();
  }

  #show() {
    this.button.hidden = Boolean(this.state.ended);
    this.words.textContent = this.#sentence();
    this.samples.update(this.state.samples, this.state.prompt_id);
    this.#offer();
    this.draw();
    const height = `${this.height}px`;
    if (!this.root.hidden && this.root.style.minHeight === height) return;
    this.root.hidden = false;
    this.root.style.minHeight = height;
    fit(this.node);
  }

  /** "Go on", where the training has ended before its last step and there is something to go on from. */
  #offer() {
    const { ended, step, steps, resume } = this.state;
    this.further.hidden = !ended || !resume || step >= steps || !resumeOf(this.node);
    this.further.title = `Writes ${resume} into resume and runs the workflow: the training goes on after the last step that `
      + "was kept. Run alone does not go on.";
  }

  #rest() {
    this.button.disabled = false;
    this.button.textContent = "Stop and keep";
  }

  /** The prompt is over; a server that went away says nothing of its training. */
  over(prompt) {
    if (this.state?.prompt_id === prompt) this.end("lost");
  }

  /** ended: of a training of whose end nothing was told. */
  end(ended) {
    if (!this.state.ended) this.update({ ...this.state, first: this.state.step + 1, losses: [], ended });
  }

  async stop() {
    this.button.disabled = true;
    this.button.textContent = "Stopping …";
    this.trouble = await this.#askToStop(this.state);
    if (!this.trouble) return;
    this.#rest();
    this.#show();
  }

  /** What kept it from stopping; "" where the server will. */
  async #askToStop({ prompt_id, node }) {
    try {
      const answer = await this.api.fetchApi(STOP, {
        method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ prompt_id, node }),
      });
      return answer.ok && (await answer.json()).stopping ? "" : NOT_DONE;
    } catch {
      return NOT_SENT;
    }
  }

  #sentence() {
    const { step, steps, rate, seconds_a_step: pace, eta, ended } = this.state;
    const { mean, of } = this.losses.recent();
    const loss = `loss ${mean.toPrecision(3)} (mean of the last ${of === 1 ? "step" : `${of} steps`})`;
    if (ended) return `${ENDS[ended](this.state)}   ${loss}`;
    const trouble = this.trouble ? `${this.trouble}   ` : "";
    return `${trouble}${step} / ${steps}   ${loss}   rate ${rate.toPrecision(2)}   `
      + `${pace < 1 ? `${(1 / pace).toFixed(1)} it/s` : `${pace.toFixed(1)} s/it`}   ${clock(eta)} left`;
  }

  draw() {
    if (this.drawn || !this.state) return; // at most once a frame, and not at all while nothing comes
    this.drawn = true;
    requestAnimationFrame(() => {
      this.drawn = false;
      const style = getComputedStyle(this.root);
      const colours = { strong: style.getPropertyValue("--accent"), thin: style.getPropertyValue("--thin") };
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
