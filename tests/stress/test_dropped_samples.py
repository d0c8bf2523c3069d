"""Lost samples."""

from collections.abc import Callable

import numpy as np

from ecguard.simulator import Waveform
from ecguard.stress import DroppedSamples, Experiment


def test_what_arrives_keeps_its_order_and_closes_the_gaps(
    bench: Callable[..., Experiment], scan: Waveform
) -> None:
    experiment = bench(scan)
    numbers = np.tile(np.arange(257.0), (2, 1))
    arrived = DroppedSamples().observe(experiment, [0.5, 1.0], numbers)
    for row, share in enumerate((0.05, 0.1)):
        kept = np.flatnonzero(experiment.chance[row] >= share)
        assert 0 < 257 - kept.size < 2.5 * share * 257
        np.testing.assert_array_equal(arrived[row, : kept.size], kept)
        np.testing.assert_array_equal(arrived[row, kept.size :], kept[-1])


def test_a_trace_of_which_nothing_arrives_repeats_one_reading(
    bench: Callable[..., Experiment], scan: Waveform
) -> None:
    fields = vars(bench(scan)) | {"chance": np.zeros((2, 257))}
    arrived = DroppedSamples().observe(Experiment(**fields), 1.0, np.ones((2, 257)))
    assert (arrived == 1.0).all()
