"""Figures show what they are given, look the same each time, and speak."""

import numpy as np
import pytest

from ecguard.errors import InputError
from ecguard.report import figures
from ecguard.report.pages import description

RUNS = [
    {"split": split, "reliability_score": 50.0 + k, "pred_calibration_error": 0.1 * k}
    for split in ("in_distribution", "stress_biofouled", "control_clean")
    for k in range(4)
]
T = np.linspace(0, 8, 50)
SEEN = np.arange(50) % 3 == 0


def trace():
    return figures.trace_figure(T, np.sin(T), SEEN, np.cos(T), np.full(50, 0.1), "case 3")


POINTS = {"default": (1.0, 2.0), "tone": (10.0, 0.5), "pulse": (100.0, 3.0)}

SPANS = {"trust": (0.0, 20.0, 15.0, 30.0), "escalate": (50.0, 9.0, 5.0, 12.0)}


def points(**changes):
    panels = [POINTS, {name: (y, 2 * x) for name, (x, y) in POINTS.items()}]
    usual = {"marked": ["pulse"], "log": ["x", ""]}
    return figures.points_figure(panels, ["cost / s", "power"], ["power", "y"], **usual | changes)


MAKERS = {
    "separation": lambda: figures.separation_figure(RUNS),
    "trace": trace,
    "lines": lambda: figures.lines_figure(
        [{"a": (T, T), "b": (T, -T)}, {"c": (T, T**2)}], ["time / s"] * 2, ["a", "b"], ["x", "y"]
    ),
    "groups": lambda: figures.groups_figure(
        {"cv": [0.01, 0.02], "swv": [0.1]}, "NRMSE / 1", bound=0.05, log=True
    ),
    "grid": lambda: figures.grid_figure(
        np.tile(T, (4, 1)), {"simulator": np.tile(np.sin(T), (4, 1))}, list("abcd"), "t / s", "i"
    ),
    "points": points,
    "spans": lambda: figures.spans_figure(SPANS, "time / s", "risk / %"),
}


@pytest.mark.parametrize("name", MAKERS)
def test_same_data_give_same_bytes(tmp_path, name):
    first = figures.save_figure(MAKERS[name](), tmp_path / "a.png", "What it shows.")
    second = figures.save_figure(MAKERS[name](), tmp_path / "b.png", "What it shows.")
    assert first.read_bytes() == second.read_bytes()


def test_style_of_the_user_does_not_leak_in(tmp_path):
    import matplotlib

    first = figures.save_figure(MAKERS["groups"](), tmp_path / "a.png", "x")
    with matplotlib.rc_context({"font.size": 30.0, "savefig.dpi": 40, "axes.facecolor": "red"}):
        second = figures.save_figure(MAKERS["groups"](), tmp_path / "b.png", "x")
    assert first.read_bytes() == second.read_bytes()


def test_description_travels_in_the_file(tmp_path):
    path = figures.save_figure(MAKERS["groups"](), tmp_path / "a.png", "Error ≤ 5 % per task.")
    assert description(path) == "Error ≤ 5 % per task."


@pytest.mark.parametrize("alt", ["", "  "])
def test_figure_without_alternative_text_is_refused(tmp_path, alt):
    with pytest.raises(InputError, match="alt"):
        figures.save_figure(MAKERS["groups"](), tmp_path / "a.png", alt)
    assert list(tmp_path.iterdir()) == []


def test_separation_has_a_box_per_split_in_both_panels():
    left, right = figures.separation_figure(RUNS).axes
    for axes, key in ((left, "reliability_score"), (right, "pred_calibration_error")):
        labels = [label.get_text() for label in axes.get_xticklabels()]
        assert labels == ["in\ndistribution", "stress\nbiofouled", "control\nclean"]
        points = np.concatenate(
            [line.get_ydata() for line in axes.lines if line.get_marker() == "o"]
        )
        assert sorted(points) == sorted(run[key] for run in RUNS)


def test_trace_shows_bands_observed_and_missing_samples():
    (axes,) = trace().axes
    lines = {line.get_label(): line for line in axes.lines}
    np.testing.assert_array_equal(lines["observed"].get_xdata(), T[SEEN])
    np.testing.assert_array_equal(lines["missing"].get_ydata(), np.sin(T)[~SEEN])
    heights = {
        band.get_label(): np.ptp(band.get_paths()[0].vertices[:, 1]) for band in axes.collections
    }
    assert heights["±2 std"] - heights["±1 std"] == pytest.approx(0.2)
    assert "mA" in axes.get_ylabel()
    assert "/ s" in axes.get_xlabel()


def test_points_are_numbered_in_each_panel_and_named_once():
    figure = points()
    left, right = figure.axes
    names = list(POINTS)
    for axes, turn in ((left, lambda x, y: (x, y)), (right, lambda x, y: (y, 2 * x))):
        places = [(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines]
        assert places == [turn(*POINTS[name]) for name in names]
        assert [text.get_text() for text in axes.texts] == ["1", "2", "3"]
        assert [text.xy for text in axes.texts] == places
    (legend,) = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["1 default", "2 tone", "3 pulse"]
    assert [axes.get_xlabel() for axes in figure.axes] == ["cost / s", "power"]
    assert [axes.get_ylabel() for axes in figure.axes] == ["power", "y"]


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_points_close_together_share_a_number(scale):
    near = {"a": (1.0, 2.0), "b": (50.0, 1.0), "c": (1.01, 2.0), "d": (1.0, 2.5)}
    near = {name: (scale * x, scale * y) for name, (x, y) in near.items()}
    figure = figures.points_figure([near], ["x"], ["y"])
    assert [text.get_text() for text in figure.axes[0].texts] == ["1, 3", "2", "4"]


def test_marked_points_stand_out():
    for axes in points(marked=["tone"]).axes:
        assert [line.get_marker() for line in axes.lines] == ["o", "D", "o"]
        first, second, third = (line.get_color() for line in axes.lines)
        assert first == third != second


@pytest.mark.parametrize(
    ("log", "scales"),
    [
        (["x", ""], ["log linear", "linear linear"]),
        (["xy", "y"], ["log log", "linear log"]),
        ((), ["linear linear", "linear linear"]),
    ],
)
def test_axes_of_points_are_logarithmic_where_asked_for(log, scales):
    found = [f"{axes.get_xscale()} {axes.get_yscale()}" for axes in points(log=log).axes]
    assert found == scales


@pytest.mark.parametrize("kind", ["lines", "points"])
@pytest.mark.parametrize(
    ("highest", "wanted"), [(3.5, {"0.5", "1", "2"}), (350.0, {"$\\mathdefault{10^{0}}$"})]
)
def test_short_logarithmic_axes_have_numbers_between_the_powers_of_ten(kind, highest, wanted):
    values = {"a": (1.0, 0.25), "b": (2.0, highest)}
    if kind == "lines":
        xs, ys = np.array(list(values.values())).T
        (axes,) = figures.lines_figure([{"a": (xs, ys)}], ["x"], ["y"], log=["y"]).axes
    else:
        (axes,) = figures.points_figure([values], ["x"], ["y"], log=["y"]).axes
    axes.figure.canvas.draw()
    low, high = axes.get_ylim()
    majors = axes.yaxis.get_majorticklabels()
    shown = {text.get_text() for text in majors if low <= text.get_position()[1] <= high}
    assert shown >= wanted
    assert len(shown) > 2
    assert ("0.5" in shown) == (highest < 10)
    assert not any(text.get_text() for text in axes.yaxis.get_minorticklabels())


def test_spans_have_their_intervals_and_names():
    figure = figures.spans_figure(SPANS, "time / s", "risk / %")
    (axes,) = figure.axes
    for bar, (x, y, low, high) in zip(axes.containers, SPANS.values(), strict=True):
        middle, _, (span,) = bar.lines
        assert (middle.get_xdata(), middle.get_ydata()) == ([x], [y])
        np.testing.assert_allclose(span.get_segments()[0], [(x, low), (x, high)])
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(SPANS)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("time / s", "risk / %")
