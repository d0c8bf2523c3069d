"""The exponential sum against the kernel it replaces."""

from itertools import pairwise

import numpy as np
import pytest

from ecguard.semi_integral import TOLERANCE, ExponentialSum, exponential_sum, fitted_sum


@pytest.mark.parametrize("span", [2, 256, 1024, 65536, 2**22])
def test_the_sum_keeps_its_promise(span: int) -> None:
    time = np.geomspace(1.0, span, 7919)
    kernel = exponential_sum(span)
    value = np.exp(-np.outer(time, kernel.rate)) @ kernel.weight
    assert np.max(np.abs(value * np.sqrt(np.pi * time) - 1.0)) < 1.2 * TOLERANCE


def test_the_error_measure_notices_a_wrong_weight() -> None:
    kernel = exponential_sum(1024)
    wrong = ExponentialSum(kernel.rate, 1.01 * kernel.weight)
    assert wrong.relative_error(1024) == pytest.approx(0.01, rel=1e-2)


def test_more_exponentials_are_closer() -> None:
    errors = [fitted_sum(1024, terms).relative_error(1024) for terms in (6, 10, 14, 18)]
    assert all(more < 0.2 * fewer for fewer, more in pairwise(errors))


def test_a_span_beyond_reach_is_refused() -> None:
    with pytest.raises(ValueError, match="span"):
        exponential_sum(2**60)
