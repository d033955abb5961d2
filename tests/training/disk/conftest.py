"""What the tests of states share."""
import pytest


@pytest.fixture
def state(train, output_folder):
    """The state of a run of three steps."""
    from training_models import tiny_sd3
    train(tiny_sd3(), 3)
    return output_folder / "training" / "hand" / "step_00000003.safetensors"
