import pytest

from webs import Web


@pytest.fixture
def webs(box):
    """Starts clusterd-web for the box; ended at the end."""
    started = []

    def start(*options, **keys):
        started.append(Web(box, *options, **keys))
        return started[-1]
    yield start
    for web in started:
        web.close()
