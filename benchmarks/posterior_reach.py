"""Does the exact engine reach where the truth is? Held-out clean cases, by couples and waveform.

    python benchmarks/posterior_reach.py [cases]

The truth is a draw of its posterior. Where its weight exceeds that of every draw by far, a whole
region is missed, and the effective number of draws says nothing of it. Beside it stand coverage of
the 95 % intervals over all parameters, and the seconds of a case, compilation included.
"""

import sys
import time

import numpy as np
from tqdm.auto import tqdm

from ecguard import family
from ecguard.calibration import FAR
from ecguard.clean_cases import CleanSettings, draw_clean
from ecguard.engines import case_keys
from ecguard.intervals import share
from ecguard.posterior.exact import infer_exact
from ecguard.posterior.likelihood import SimulatorLikelihood


def main() -> None:
    """Print the table."""
    groups = draw_clean(CleanSettings(n_cases=int(sys.argv[1]) if len(sys.argv) > 1 else 500))
    print(f"couples  waveforms     cases  truth leads  by > {FAR:g} nat        coverage  s a case")
    for group in tqdm(groups, unit="group", file=sys.stderr):
        started = time.perf_counter()
        likelihood = SimulatorLikelihood.of(group.observation)
        keys = case_keys(0, group.case)
        found = infer_exact(likelihood, group.n_couples, keys, truth=group.unknowns)
        seconds = (time.perf_counter() - started) / len(group)
        low, high = np.quantile(found.unknowns, [0.025, 0.975], axis=1)
        covered = ((group.unknowns > low) & (group.unknowns < high)).mean()
        far = share(int((found.lead > FAR).sum()), len(group))
        kinds = " ".join(sorted({family.TASKS[own] for own in group.task}))
        print(
            f"{group.n_couples:>7}  {kinds:<12}{len(group):>7}{(found.lead > 0).sum():>13}"
            f"{far.value:>9.2f} ({far.low:.2f} to {far.high:.2f}){covered:>9.3f}{seconds:>10.2f}"
        )


if __name__ == "__main__":
    main()
