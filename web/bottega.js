/** What the pack adds to the page. */

import { api } from "/scripts/api.js";
import { app } from "/scripts/app.js";
import { forgetPresets } from "./block_weights/knowledge.js";
import { BlocksWidget, TYPE as BLOCKS } from "./block_weights/widget.js";
import { showCritique } from "./critique/panel.js";
import { followErrors, showErrors } from "./error/panel.js";
import { showHelp } from "./help/panel.js";
import { RowsWidget, TYPE as ROWS } from "./lora_rows/widget.js";
import { followOpening } from "./opened.js";
import { followOutputs, recallOutputs } from "./outputs.js";
import { styleSheet } from "./panel.js";
import { followPrompts } from "./prompts.js";
import { showReport } from "./report/panel.js";
import { showResult } from "./result.js";
import { orderTemplates } from "./templates.js";
import { showPromoted } from "./text_widget/promoted.js";
import { followSubgraphs } from "./text_widget/promotion.js";
import { refreshEditors, textWidget } from "./text_widget/widget.js";
import { followTrainings, recallTrainings, recheckTrainings, showTraining } from "./training/panel.js";

const EDITORS = { [BLOCKS]: BlocksWidget, [ROWS]: RowsWidget }; // by the type of the widget

function refreshLists() {
  forgetPresets();
  refreshEditors();
}

app.registerExtension({
  name: "bottega",
  init() {
    for (const room of ["block_weights", "critique", "error", "help", "lora_rows", "report", "text_widget", "training"]) {
      styleSheet(new URL(`./${room}/style.css`, import.meta.url));
    }
    followPrompts({ app, api });
    orderTemplates({ api });
    followOutputs({ app, api });
    followTrainings({ app, api });
    followErrors({ app, api });
    followOpening({ app }, () => recallOutputs({ app, api }), () => recallTrainings({ app, api }));
    api.addEventListener("reconnected", () => {
      recallOutputs({ app, api });
      recheckTrainings({ app, api });
      refreshLists(); // what could not be asked may be known now
    });
  },
  getCustomWidgets: () => Object.fromEntries(
    Object.entries(EDITORS).map(([type, Kind]) => [type, textWidget(Kind, type, { app, api })])),
  setup() {
    followSubgraphs(app.canvas.canvas, () => refreshEditors());
  },
  refreshComboInNodes: () => refreshLists(), // a file may have been deleted, or be another one
  nodeCreated(node) {
    showPromoted(EDITORS, { app, api })(node);
    showCritique({ app, api })(node);
    showTraining({ app, api })(node);
    showHelp(node);
    showErrors({ app })(node);
    showReport({ app })(node);
    showResult({ app })(node);
  },
});
