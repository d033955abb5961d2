/** What runs told of a node: kept with it in the workflow if it ran here, and only beside it if the server remembered it. */

const recalled = new WeakMap(); // node -> {property: value}

/** run: as `onOutput` gives it. What was recalled changes no workflow: it may be of somebody else's run. */
export function learnt(node, property, value, run) {
  const beside = recalled.get(node) ?? {};
  if (run.recalled) recalled.set(node, { ...beside, [property]: value });
  else {
    delete beside[property];
    node.properties[property] = value;
  }
}

export const told = (node, property) => recalled.get(node)?.[property] ?? node?.properties[property];

/** {lora, blocks} of a run, if that is what it is: whoever made the workflow may have written anything there. */
export const asRun = (ran) => (
  Array.isArray(ran?.blocks) && ran.blocks.every((entry) => typeof entry?.block === "string") ? ran : null
);
