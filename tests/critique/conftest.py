"""What the tests of the critique share."""
import pytest


@pytest.fixture(scope="session")
def critique(pack):
    return pack.nodes.critique


@pytest.fixture(scope="module")
def measured_small(pack):
    """Pictures are measured at 128 pixels instead of 1024, where it matters what is done and not what comes out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pack.nodes.critique.examination, "CANONICAL", 128)
        yield
