"""Screening: one finite row of diagnostics a trace, whatever the trace and its neighbours."""

from dataclasses import replace

import equinox as eqx
import jax
import numpy as np
import pytest

from ecguard import diagnostics as dg
from ecguard import screening
from ecguard.case_sets import CaseSetSettings, draw_case_sets
from ecguard.diagnostics import Familiarity
from ecguard.engines import case_keys
from ecguard.errors import InputError
from ecguard.guardrail import CombinedScore, FittedGuardrail, ValidFor
from ecguard.known_faults import FAULTS, any_fault
from ecguard.posterior.amortised.artefacts import (
    Amortised,
    fingerprint,
    load_amortised,
)
from ecguard.posterior.corrected import summaries
from ecguard.posterior.likelihood import Observation
from ecguard.posterior.population import PopulationSettings
from ecguard.posterior.unknowns import n_unknowns, ranges
from ecguard.screening import DIAGNOSTICS, Screened, judge, screen

pytestmark = pytest.mark.slow

SMALL = PopulationSettings(n_proposals=512, effective=100, most_rounds=6, n_draws=200, block=4)
CLEAN, ODD = range(4), {"flat": 4, "huge": 5, "noisy": 6}
COLUMN = {name: k for k, name in enumerate(DIAGNOSTICS)}


@pytest.fixture(scope="module")
def amortised() -> Amortised:
    return load_amortised()


@pytest.fixture(scope="module")
def cases() -> dict:
    return draw_case_sets(CaseSetSettings(n_design=120, n_calibration=2, n_test=4, task="tone"))


@pytest.fixture(scope="module")
def traces(cases: dict) -> tuple[Observation, np.ndarray]:
    """Four clean traces, then a flat, a huge and a noisy one, with their labels."""
    group = cases["test"].group
    own = Observation(*(np.concatenate([leaf, leaf[:3]]) for leaf in group.observation))
    current = own.current.copy()
    current[ODD["flat"]] = 0.0
    current[ODD["huge"]] *= 1000.0
    noise = np.random.default_rng(0).standard_normal(current.shape[1])
    current[ODD["noisy"]] += (20 * 0.05 * noise).astype(np.float32)
    return own._replace(current=current), np.concatenate([group.task, group.task[:3]])


@pytest.fixture(scope="module")
def familiarity(cases: dict, amortised: Amortised) -> Familiarity:
    group = cases["design"].group
    return Familiarity.fit(summaries(amortised, group.observation, group.task, 1))


@pytest.fixture(scope="module")
def run(amortised: Amortised, familiarity: Familiarity, traces: tuple):
    """Screens some of the traces, each with its own key."""

    def some(rows: list[int], known: Familiarity | None = familiarity) -> Screened:
        observation, task = traces
        keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(5), np.array(rows))
        part = Observation(*(leaf[rows] for leaf in observation))
        return screen(amortised, known, part, task[rows], 1, keys, SMALL)

    return some


@pytest.fixture(scope="module")
def found(run) -> Screened:
    return run(list(range(7)))


def test_shapes(found: Screened) -> None:
    d, length = n_unknowns(1), 256
    assert len(found) == 7
    for name, shape in {
        "diagnostics": (7, len(DIAGNOSTICS)),
        "fault_evidence": (7, len(FAULTS)),
        "draws": (7, SMALL.n_draws, d),
        "mean": (7, d),
        "low": (7, d),
        "high": (7, d),
        "effective": (7,),
        "reliability_score": (7,),
        "calibration_error": (7,),
        "reference_score": (7,),
        "predicted_mean": (7, length),
        "predicted_std": (7, length),
    }.items():
        assert getattr(found, name).shape == shape, name


def test_all_is_finite_even_for_traces_that_no_electrode_gives(found: Screened) -> None:
    for name, values in vars(found).items():
        assert np.isfinite(values).all(), name
    low, high = ranges(1)
    slack = 1e-5 * np.abs(high)
    assert ((found.draws >= low - slack) & (found.draws <= high + slack)).all()
    assert (found.low <= found.high).all()
    assert (found.predicted_std >= 0.05 * (1 - 1e-6)).all()


def test_columns_are_what_their_names_say(found: Screened, traces: tuple) -> None:
    observation, _ = traces
    residual = (observation.current - found.predicted_mean) / observation.noise_std[:, None]
    seen = observation.observed
    square = np.where(seen, residual, 0.0) ** 2
    n = seen.sum(axis=1)
    expected = {
        "chi_square": (square.sum(axis=1) - n) / np.sqrt(2 * n),
        "lag_one": dg.lag_one(residual, seen),
        "cusum": dg.cusum(residual, seen),
        "asymmetry": dg.sweep_asymmetry(residual, seen, observation.E_V),
        "largest": np.sqrt(square.max(axis=1)),
        "unreliability": 100 - found.reliability_score,
        "known_faults": any_fault(found.fault_evidence),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(found.diagnostics[:, COLUMN[name]], values, rtol=1e-3, atol=1e-3)
    assert (found.diagnostics[:, COLUMN["inefficiency"]] >= 0).all()


@pytest.mark.parametrize(
    ("kind", "names"),
    [("huge", ("chi_square", "largest", "unfamiliarity")), ("noisy", ("chi_square", "largest"))],
)
def test_odd_traces_stand_out(found: Screened, kind: str, names: tuple[str, ...]) -> None:
    odd, clean = found.diagnostics[ODD[kind]], found.diagnostics[list(CLEAN)]
    for name in names:
        assert odd[COLUMN[name]] > clean[:, COLUMN[name]].max(), name


def test_a_case_does_not_depend_on_its_neighbours(found: Screened, run) -> None:
    """Among others, alone, and in another place of the batch."""
    rows = [6, 2, 0]
    some, alone = run(rows), run([2])
    for name, values in vars(found).items():
        np.testing.assert_allclose(
            getattr(some, name), values[rows], rtol=2e-3, atol=2e-3, err_msg=name
        )
        np.testing.assert_allclose(
            getattr(alone, name), values[[2]], rtol=2e-3, atol=2e-3, err_msg=name
        )


def test_without_familiarity_its_column_is_nought(found: Screened, run) -> None:
    some = run([1], None)
    assert some.diagnostics[0, COLUMN["unfamiliarity"]] == 0.0
    others = [k for name, k in COLUMN.items() if name != "unfamiliarity"]
    np.testing.assert_allclose(
        some.diagnostics[0, others], found.diagnostics[1, others], rtol=2e-3, atol=2e-3
    )
    assert found.diagnostics[1, COLUMN["unfamiliarity"]] > 0


@pytest.fixture(scope="module")
def guardrail(found: Screened, familiarity: Familiarity, amortised: Amortised) -> FittedGuardrail:
    """For traces like the clean ones; its clean diagnostics scatter widely about theirs."""
    rng = np.random.default_rng(3)
    clean = found.diagnostics[list(CLEAN)]
    spread = 2 * np.ptp(clean, axis=0) + 1
    design, calibration = clean.mean(axis=0) + spread * rng.standard_normal((2, 200, len(spread)))
    score = CombinedScore.fit(tuple(DIAGNOSTICS), design, design + 20 * spread)
    own, wide = fingerprint(amortised), (-1.0, 1.0)
    ranges = ((0.1, 60.0), wide, (0.2, 0.6), (0.0, 1e5), (wide,) * 5)
    valid = ValidFor("tone", 256, 1, 0.05, own, *ranges, ())
    return FittedGuardrail.fit(score, calibration, familiarity, valid)


def test_measured_traces_are_screened_and_judged(
    guardrail: FittedGuardrail, amortised: Amortised, traces: tuple
) -> None:
    observation, task = traces
    rows = [0, 1, ODD["huge"]]
    part, keys = Observation(*(leaf[rows] for leaf in observation)), case_keys(5, np.array(rows))
    screened, verdict = judge(guardrail, amortised, part, "tone", keys)
    assert verdict.flagged.tolist() == [False, False, True]
    again = screen(amortised, guardrail.familiarity, part, task[rows], 1, keys)
    np.testing.assert_array_equal(screened.diagnostics, again.diagnostics)
    assert (screened.diagnostics[:, COLUMN["unfamiliarity"]] > 0).all()
    np.testing.assert_array_equal(verdict.score, guardrail.judge(again.diagnostics).score)


def _halved(seen: Observation) -> Observation:
    rows = ("time_s", "E_V", "current", "observed")
    return seen._replace(**{name: getattr(seen, name)[:, ::2] for name in rows})


def _slower(seen: Observation) -> Observation:
    start = seen.time_s[:, :1]
    return seen._replace(time_s=600 * (seen.time_s - start) / (seen.time_s[:, -1:] - start))


@pytest.mark.parametrize(
    ("name", "value", "task", "change"),
    [
        ("noise_std", "0.0625", "tone", lambda own: own._replace(noise_std=np.full(2, 0.0625))),
        ("time_s", "128", "tone", _halved),
        ("time_s", "600", "tone", _slower),
        ("E_V", "1.5", "tone", lambda own: own._replace(E_V=own.E_V - own.E_V.max() + 1.5)),
        ("observed", "1", "tone", lambda own: own._replace(observed=own.observed | True)),
        ("task", "cv", "cv", lambda own: own),
    ],
    ids=["noise", "samples", "duration", "potential", "observed", "task"],
)
def test_foreign_traces_are_refused_before_any_inference(
    guardrail, amortised, traces, monkeypatch, name, value, task, change
) -> None:
    def never(*_: object) -> None:
        pytest.fail("something was inferred")

    monkeypatch.setattr(screening, "screen", never)
    clean = Observation(*(leaf[:2] for leaf in traces[0]))
    with pytest.raises(InputError, match=rf"{name}.*{value}.*as calibrated"):
        judge(guardrail, amortised, change(clean), task, case_keys(0, np.arange(2)))


def test_a_guardrail_of_another_checkpoint_or_other_diagnostics_is_refused(
    guardrail, amortised, traces, monkeypatch
) -> None:
    def never(*_: object) -> None:
        pytest.fail("something was inferred")

    monkeypatch.setattr(screening, "screen", never)
    clean, keys = Observation(*(leaf[:2] for leaf in traces[0])), case_keys(0, np.arange(2))
    other = eqx.tree_at(lambda own: own.network.out, amortised, 1.01 * amortised.network.out)
    with pytest.raises(InputError, match=fingerprint(other)) as raised:
        judge(guardrail, other, clean, "tone", keys)
    assert raised.value.name == "checkpoint"
    score = replace(guardrail.score, names=guardrail.score.names[::-1])
    with pytest.raises(InputError, match=r"guardrail = .*unreliability"):
        judge(replace(guardrail, score=score), amortised, clean, "tone", keys)
