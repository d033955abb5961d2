/**
 * Inputs that subgraphs promote: the value that reaches the prompt is then the one on the subgraph's node, and the input
 * inside counts as linked.
 */

const entered = new WeakMap(); // subgraph -> the node through which a person went into it last

/** Notes which of several nodes of one subgraph a person has opened, once a page. */
export function followSubgraphs(canvas, opened) {
  canvas.addEventListener("subgraph-opened", ({ detail: { subgraph, fromNode } }) => {
    entered.set(subgraph, fromNode);
    opened();
  });
}

/**
 * Where the value of a node's input comes from: {node, widget} of the node that has it, which is this one or the node of a
 * subgraph around it; null where a link brings it, or where there is no such input.
 *
 * via: the node to take for a subgraph that has several, by the subgraph.
 */
export function owner(node, name, via) {
  const slot = slotOf(node, name);
  if (slot < 0 || !node.isInputConnected(slot)) return own(node, name);
  const outer = outerInput(node, slot, via);
  return outer && owner(outer.node, outer.name, via);
}

/** Whether the input is one that the subgraph around the node promotes. */
export const isPromoted = (node, name) => {
  const slot = slotOf(node, name);
  return slot >= 0 && node.isInputConnected(slot) && Boolean(outerInput(node, slot));
};

const slotOf = (node, name) => node.inputs?.findIndex((input) => input.widget?.name === name) ?? -1;

function own(node, name) {
  const widget = node.widgets?.find((each) => each.name === name);
  return widget ? { node, widget } : null;
}

/** The input of the subgraph's node that a link from the subgraph's border brings to this slot. */
function outerInput(node, slot, via) {
  const border = node.graph?.inputNode?.slots ?? [];
  const at = border.findIndex(({ linkIds }) => linkIds.some((id) => leadsTo(node.graph.getLink(id), node, slot)));
  const outer = at < 0 ? null : via?.get(node.graph) ?? nodesOf(node.graph)[0];
  return outer ? { node: outer, name: outer.inputs[at]?.name } : null;
}

const leadsTo = (link, node, slot) => link && String(link.target_id) === String(node.id) && link.target_slot === slot;

/** The nodes that stand for a subgraph, the one that was opened last first. */
export function nodesOf(subgraph) {
  const root = subgraph.rootGraph;
  const graphs = [root, ...(root?.subgraphs?.values() ?? [])];
  const found = graphs.flatMap((graph) => graph.nodes.filter((node) => node.subgraph === subgraph));
  const last = entered.get(subgraph);
  return found.includes(last) ? [last, ...found.filter((node) => node !== last)] : found;
}

/**
 * What an input of a subgraph's node feeds, deep in subgraphs: {node, name} and via, the nodes of the subgraphs on the way,
 * as `owner` takes them; null if it is no widget.
 */
export function source(node, name, via = new Map()) {
  via.set(node.subgraph, node);
  const border = node.subgraph.inputNode.slots.find((slot) => slot.name === name);
  for (const id of border?.linkIds ?? []) {
    const link = node.subgraph.getLink(id);
    const target = link && node.subgraph.getNodeById(link.target_id);
    const input = target?.inputs[link.target_slot];
    if (input && target.subgraph) return source(target, input.name, via);
    if (input?.widget) return { node: target, name: input.widget.name, via };
  }
  return null;
}
