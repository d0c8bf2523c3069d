"""Numbers that only make sense above zero."""

import numpy as np
from numpy.typing import ArrayLike

from ecguard.errors import InputError


def check_positive(**values: ArrayLike) -> None:
    """Refuse values, by the name they are passed under, that are not finite and above zero.

    Raises:
        InputError: one is not.
    """
    for name, value in values.items():
        each = np.asarray(value, float)
        bad = each[~(np.isfinite(each) & (each > 0))]
        if bad.size:
            raise InputError(name, float(bad[0]), "finite and > 0", "check the value and its unit")
