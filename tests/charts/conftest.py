import pytest


@pytest.fixture(scope="session")
def charts(pack):
    return pack.nodes.charts
