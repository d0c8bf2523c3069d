"""Cases of the family that tests share."""

import pytest

from ecguard import family
from ecguard.chunk import Chunk


@pytest.fixture(scope="session")
def cases() -> Chunk:
    """Clean traces of every task, drawn once."""
    return family.draw(21, 512)
