"""The node that makes a critic for Train LoRA."""
from comfy_api.v0_0_2 import io

from .shared_inputs import REFERENCE, RUBRIC, ReferenceType, check_rubric, measurable_rubric


class TrainingCritic(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="BottegaTrainingCritic",
            display_name="Training Critic",
            category="bottega/studio",
            description="A critic for Train LoRA: it keeps the step whose sample pictures have the highest scores, and "
                        "may say what each picture of the data set counts.",
            search_aliases=["best checkpoint", "early stopping", "dataset weighting", "aesthetic training",
                            "overfitting"],
            inputs=[
                io.String.Input("rubric", default="", multiline=True, tooltip=RUBRIC),
                ReferenceType.Input("reference", optional=True, tooltip=REFERENCE),
            ],
            outputs=[
                io.Custom("BOTTEGA_TRAINING_CRITIC").Output("critic", tooltip="For the critic input of Train LoRA."),
            ],
        )

    @classmethod
    def validate_inputs(cls, rubric=None):
        return check_rubric(rubric)

    @classmethod
    def execute(cls, rubric, reference=None):
        from ...critique.reference.distributions import paintings
        from .. import rubric_critic
        reference = reference or paintings()
        return io.NodeOutput(rubric_critic.TrainingCritic(measurable_rubric(rubric, reference), reference))
