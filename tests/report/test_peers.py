"""Other simulators: the contract of an adapter, and what happens without the package."""

import os
import sys
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from ecguard import reference
from ecguard.report import peers
from ecguard.report.peers import HEAD, PEERS, SWEEPS, Peer, cells, compare, missing, ours, peak

REVERSIBLE, QUASI, RESISTIVE = SWEEPS
BATCH = 4


def closed_form(sweep):
    """The forward half of a reversible sweep, exactly; it chatters as peers do."""
    print("chatter")
    os.write(1, b"chatter of compiled code")
    potential = sweep.potential(sweep.time_s[1 : sweep.samples // 2])
    current = reference.reversible_sweep_current(
        potential,
        sweep.C_mM,
        sweep.D_cm2_s,
        sweep.D_cm2_s,
        0.0,
        sweep.scan_rate_V_s,
        sweep.temperature_K,
    )
    return potential, np.asarray(current)


@pytest.fixture
def install(monkeypatch):
    """Make a peer seem installed."""

    def pretend(peer):
        monkeypatch.setitem(sys.modules, peer.name, ModuleType(peer.name))
        known = peers._version
        monkeypatch.setattr(
            peers, "_version", lambda name: "1.2" if name == peer.name else known(name)
        )
        return peer

    return pretend


def last(sweep, peer, **options):
    return compare([sweep], [peer], BATCH, **options)[-1]


def test_an_exact_peer_has_no_error_and_no_voice(install, capfd):
    row = last(REVERSIBLE, install(Peer("fake", closed_form)))
    assert (row.simulator, row.version, row.note) == ("fake", "1.2", "")
    assert abs(row.peak_error_percent) < 1e-3
    assert row.error_percent < 1e-2
    assert row.milliseconds > 0
    assert row.times_ours > 0
    assert capfd.readouterr().out == ""
    print("heard again")
    assert capfd.readouterr().out == "heard again\n"


def test_rows_hold_ours_alone_and_in_a_batch():
    alone, batch, absent = compare([QUASI], [Peer("nobody", closed_form)], BATCH)
    assert absent.note == "not installed"
    assert absent.milliseconds is absent.error_percent is None
    assert absent.peak_error_percent is absent.times_ours is None
    assert absent.version == ""
    assert batch.times_ours == 1
    assert alone.times_ours == alone.milliseconds / batch.milliseconds
    for row in (alone, batch):
        assert abs(row.peak_error_percent) < 0.02
        assert row.error_percent < 0.01
    for row in (alone, absent):
        assert len(cells(row)) == len(HEAD)
    assert "not installed" in cells(absent)


@pytest.mark.parametrize("factor", [0.99, 1.01])
def test_a_peak_too_high_or_too_low_shows_by_its_sign(install, factor):
    def scaled(sweep):
        potential, current = closed_form(sweep)
        return potential, factor * current

    row = last(REVERSIBLE, install(Peer("fake", scaled)))
    assert row.peak_error_percent == pytest.approx(100 * (factor - 1), abs=1e-3)


def test_an_error_that_changes_sign_at_the_peak_shows_in_the_whole_sweep(install):
    """As that of a peer may: its peak is right by chance."""

    def tilted(sweep):
        potential, current = closed_form(sweep)
        wrong = 0.02 * current.min() * (potential - potential[current.argmin()])
        return potential, current + wrong

    row = last(REVERSIBLE, install(Peer("fake", tilted)))
    assert abs(row.peak_error_percent) < 0.01
    assert 0.1 < row.error_percent < 1.0


def test_the_time_of_a_batch_is_shared_by_its_traces(monkeypatch):
    monkeypatch.setattr(peers, "_timed", lambda run: (run(), 2.0))
    alone, batch = compare([QUASI], [], BATCH)
    assert alone.milliseconds == 2000
    assert batch.milliseconds == 2000 / BATCH


def test_a_peer_without_ru_and_cdl_is_skipped_where_they_matter(install):
    fake = install(Peer("fake", closed_form))
    assert "Ru" in missing(fake, RESISTIVE)
    assert missing(fake, QUASI) == ""
    assert missing(replace(fake, with_cell=True), RESISTIVE) == ""


def test_a_broken_peer_breaks_nothing(install):
    def broken(_):
        raise RuntimeError("singular matrix")

    assert last(REVERSIBLE, install(Peer("fake", broken))).note == "RuntimeError: singular matrix"


def test_a_peer_without_a_peak_says_so(install):
    fake = install(Peer("fake", lambda _: (np.arange(9.0), np.full(9, np.nan))))
    assert "no peak" in last(REVERSIBLE, fake).note


def test_a_slow_peer_is_called_once_and_a_quick_one_repeatedly(install, monkeypatch):
    calls = []
    fake = install(Peer("fake", lambda sweep: calls.append(1) or closed_form(sweep)))
    monkeypatch.setattr(peers, "PATIENCE_S", 60.0)
    last(REVERSIBLE, fake)
    assert len(calls) == 1 + peers.REPEATS
    calls.clear()
    monkeypatch.setattr(peers, "PATIENCE_S", 0.0)
    last(REVERSIBLE, fake)
    assert len(calls) == 1


def test_no_peer_starts_after_the_limit(install):
    assert "not started" in last(REVERSIBLE, install(Peer("fake", closed_form)), limit_s=0.0).note


def test_the_parabola_finds_the_lowest_point_between_samples():
    x = np.linspace(0.0, 1.0, 8)
    assert peak((x, (x - 0.3) ** 2 - 2.0)) == pytest.approx(-2.0, abs=1e-12)


@pytest.mark.parametrize("sweep", SWEEPS, ids=lambda sweep: sweep.name)
def test_ours_has_the_shape_that_an_adapter_promises(sweep):
    potential, current = ours(sweep)()
    assert potential.shape == current.shape == (sweep.samples,)
    assert potential[0] == potential[-1] == sweep.E_start_V
    assert potential.min() == pytest.approx(sweep.E_vertex_V)
    assert current.min() < 0 < current.max()


@pytest.mark.parametrize("sweep", SWEEPS, ids=lambda sweep: sweep.name)
@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_installed_peers_find_the_peak(peer, sweep):
    if reason := missing(peer, sweep):
        pytest.skip(f"{peer.name}: {reason}")
    row = last(sweep, peer)
    assert row.note == ""
    assert abs(row.peak_error_percent) < 0.5
