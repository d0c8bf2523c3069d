"""Waveforms joined in time, and split into finer steps."""

import numpy as np
from numpy.typing import NDArray

from ecguard.errors import InputError
from ecguard.simulator import Waveform, potential_jumps
from ecguard.waveforms.arguments import agree, at_least, require


def concatenate(*waveforms: Waveform) -> Waveform:
    """Waveforms one after the other, each on its own grid of time.

    The first sample of each later part coincides with the last of the part before and is dropped:
    the potential steps, or continues, just after it. With parts of L_1, L_2, ... samples, part k
    ends at sample L_1 + ... + L_k - k. A step of potential is told from a ramp by the samples on
    its two sides (`potential_jumps`): give a part that is held at least two steps of time.

    A cleaning signal replaces the threshold `Fouling.clean_above_V`. So where some parts have a
    signal, those without get 0: nothing is cleaned there, at any potential. Where no part has a
    signal, neither has the whole.

    Args:
        waveforms: leaves [L] or [batch, L]; single ones repeat along the batch of the others.

    Returns:
        A waveform in float64, from the first time of the first part.

    Raises:
        InputError: there is no part, a part is not a waveform of finite values at increasing times,
            batches differ, or a part's steps are lost beside the time that has passed.
    """
    if not waveforms:
        raise InputError("waveforms", "no part", "at least one", "give the parts in order")
    parts = [_part(f"waveforms[{i}]", waveform) for i, waveform in enumerate(waveforms)]
    times = {f"waveforms[{i}]": part.t_s for i, part in enumerate(parts)}
    agree(**times)
    batch = np.broadcast_shapes(*(time.shape[:-1] for time in times.values()))

    def join(leaves: list[NDArray[np.float64]]) -> NDArray[np.float64]:
        kept = [leaves[0], *(leaf[..., 1:] for leaf in leaves[1:])]
        return np.concatenate([np.broadcast_to(k, (*batch, k.shape[-1])) for k in kept], axis=-1)

    stamps = [parts[0].t_s]
    for part in parts[1:]:
        stamps.append(stamps[-1][..., -1:] + (part.t_s - part.t_s[..., :1]))
    time = join(stamps)
    step = np.diff(time, axis=-1)
    require("a step of t_s", step, step > 0, "> 0 in float64", "shorten the waveform before it")
    potential = join([part.E_V for part in parts])
    if all(part.cleaning is None for part in parts):
        return Waveform(time, potential)
    signals = [np.zeros_like(p.t_s) if p.cleaning is None else p.cleaning for p in parts]
    return Waveform(time, potential, join(signals))


def refine(waveform: Waveform, substeps: int) -> Waveform:
    """Split every step of waveforms [..., L] into `substeps` equal ones.

    The potential is linear between samples; where it jumps it does so just after the sample. The
    cleaning signal of a step holds for all of its parts.

    Raises:
        InputError: `substeps` is not a whole number of at least 1.
    """
    at_least(1, substeps=substeps)
    time, potential = np.asarray(waveform.t_s), np.asarray(waveform.E_V)
    jump = np.asarray(potential_jumps(potential))[..., None]
    share = np.arange(1, substeps + 1) / substeps

    def between(
        values: NDArray[np.floating], held: NDArray[np.bool_] | bool
    ) -> NDArray[np.float64]:
        old, new = values[..., :-1, None], values[..., 1:, None]
        inner = np.where(held, new, old + (new - old) * share)
        return np.concatenate([values[..., :1], inner.reshape(*inner.shape[:-2], -1)], axis=-1)

    fine = Waveform(between(time, False), between(potential, jump))
    if waveform.cleaning is None:
        return fine
    return Waveform(fine.t_s, fine.E_V, between(np.asarray(waveform.cleaning), True))


def _part(name: str, waveform: Waveform) -> Waveform:
    """A part in float64, checked."""
    leaves = {"t_s": waveform.t_s, "E_V": waveform.E_V, "cleaning": waveform.cleaning}
    arrays = {
        leaf: np.asarray(value, np.float64) for leaf, value in leaves.items() if value is not None
    }
    shape = arrays["t_s"].shape
    if len(shape) == 0 or shape[-1] < 2 or {array.shape for array in arrays.values()} != {shape}:
        raise InputError(
            name,
            {leaf: array.shape for leaf, array in arrays.items()},
            "leaves of one shape [..., L], L >= 2",
            "give every leaf on the same grid",
        )
    for leaf, array in arrays.items():
        require(f"{name}.{leaf}", array, np.isfinite(array), "finite", "check the value")
    step = np.diff(arrays["t_s"], axis=-1)
    require(f"a step of {name}.t_s", step, step > 0, "> 0", "sort the samples by time")
    if "cleaning" in arrays:
        u = arrays["cleaning"]
        require(f"{name}.cleaning", u, (u >= 0) & (u <= 1), "in [0, 1]", "scale the signal")
    return Waveform(**arrays)
