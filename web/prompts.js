/**
 * Which workflow of this page a prompt belongs to: two tabs of one template have nodes of the same ids, and the host tells
 * every tab what the nodes of the running prompt show.
 */

const KEY = "bottega.prompts";
const MOST = 200; // the oldest goes first
const NONE = "00000000-0000-0000-0000-000000000000"; // of a graph that was made from a prompt
const MOST_OTHERS = 50; // that fit into one address

const owners = new Map(); // prompt id -> the host's object of the workflow, which stays the same when it is renamed

/** Notes, for as long as the browser's tab is open, which workflow each prompt was queued from. */
export function followPrompts({ app, api }) {
  const queue = api.queuePrompt;
  api.queuePrompt = async function (...args) {
    const [workflow, id] = [inView(app), workflowId(app)];
    const answer = await queue.apply(this, args);
    if (answer?.prompt_id) note(answer.prompt_id, workflow, id);
    return answer;
  };
}

/** The host's object of the workflow in view. */
export const inView = (app) => app.extensionManager?.workflow?.activeWorkflow;

/** What the host calls this workflow in its file, which every copy of the file has; "" before it has been saved. */
export function workflowId(app) {
  const { id } = app.rootGraph ?? app.graph ?? {};
  return !id || id === NONE ? "" : String(id);
}

function note(prompt, workflow, id) {
  owners.set(prompt, workflow);
  const kept = notes().set(prompt, { path: workflow?.path, id });
  try {
    sessionStorage.setItem(KEY, JSON.stringify([...kept].slice(-MOST)));
  } catch {
    // Full, or not allowed: after a reload the workflow's id decides alone.
  }
}

/** {path, id} of the workflow of each prompt, the latest last. */
function notes() {
  try {
    return new Map((JSON.parse(sessionStorage.getItem(KEY)) ?? []).filter(([, noted]) => typeof noted?.id === "string"));
  } catch {
    return new Map();
  }
}

/** Whether the workflow in view is the one of a prompt; workflow: the id in the file that it ran with, if that is known. */
export function isMine(app, prompt, workflow = workflowId(app)) {
  if (owners.has(prompt)) return owners.get(prompt) === inView(app);
  const noted = notes().get(prompt);
  return noted ? !isOfAnother(app, noted) && noted.id === workflowId(app) : workflow === workflowId(app);
}

/** Whether two prompts ran one workflow of this tab of the browser, which need not be in view. */
export function areOfOne(app, one, other) {
  if (isMine(app, one)) return isMine(app, other);
  if (owners.has(one) && owners.has(other)) return owners.get(one) === owners.get(other);
  const [first, second] = [one, other].map((prompt) => notes().get(prompt));
  return Boolean(first && second) && first.path === second.path && first.id === second.id;
}

/** Whether this tab of the browser queued a prompt. */
export const isKnown = (prompt) => owners.has(prompt) || notes().has(prompt);

/** The latest prompts of other copies of the workflow in view, which have the same id in their files. */
export function othersPrompts(app) {
  const id = workflowId(app);
  const copies = [...notes()].filter(([, noted]) => noted.id === id).map(([prompt]) => prompt);
  return copies.filter((prompt) => !isMine(app, prompt, id)).slice(-MOST_OTHERS);
}

/** Before the page was loaded anew: by its path, if a copy of the same workflow is open there. */
function isOfAnother(app, { path, id }) {
  const { activeWorkflow, openWorkflows = [] } = app.extensionManager?.workflow ?? {};
  const idOf = ({ activeState, initialState }) => activeState?.id ?? initialState?.id ?? id;
  return path !== activeWorkflow?.path && openWorkflows.some((other) => other.path === path && idOf(other) === id);
}
