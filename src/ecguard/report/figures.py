"""Figures in one house style: arrays in, figure out, the same bytes for the same data."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from numpy.typing import ArrayLike

from ecguard.errors import InputError
from ecguard.files import write_atomic

# Okabe and Ito's palette, told apart with any colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":")
_NEAR = 0.025  # of the width and height of a panel: points whose numbers would overlap
STYLE: Any = [
    "default",
    {
        "font.family": "DejaVu Sans",
        "font.size": 10.0,
        "axes.grid": True,
        "axes.prop_cycle": cycler(color=COLOURS),
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlesize": 11.0,
        "figure.dpi": 100.0,
        "figure.facecolor": "white",
        "grid.alpha": 0.3,
        "legend.frameon": False,
        "lines.linewidth": 1.6,
        "savefig.dpi": 150.0,
        "svg.hashsalt": "ecguard",
    },
]


def _figure(rows: int, columns: int, width: float, height: float) -> tuple[Figure, np.ndarray]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def _logarithmic(axes: Axes, letter: str) -> None:
    """A logarithmic axis; one of fewer than two decades has numbers between their ends too."""
    axes.set(**{f"{letter}scale": "log"})
    axis = getattr(axes, f"{letter}axis")
    low, high = axis.get_view_interval()
    if high < 100.0 * low:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def _words(split: str) -> str:
    return split.replace("_", "\n")


def save_figure(figure: Figure, path: Path | str, alt: str) -> Path:
    """Write a PNG whole or not at all, with `alt` as its description.

    Raises:
        InputError: there is no alternative text.
    """
    if not alt.strip():
        raise InputError("alt", alt, "text that says what the figure shows", "Write one.")
    metadata = {"Software": None, "Description": alt}

    def write(temporary: Path) -> None:
        with style.context(STYLE):
            figure.savefig(temporary, format="png", metadata=metadata)

    return write_atomic(path, write)


def _boxes(axes: Axes, groups: Mapping[str, ArrayLike], label: str) -> None:
    """Box plot of each group with its values as points, jittered without chance."""
    for place, values in enumerate(groups.values(), start=1):
        numbers = np.asarray(values, dtype=float)
        colour = COLOURS[(place - 1) % len(COLOURS)]
        axes.boxplot(
            numbers,
            positions=[place],
            widths=0.5,
            showfliers=False,
            medianprops={"color": "black", "linewidth": 1.8},
            boxprops={"color": colour},
            whiskerprops={"color": colour},
            capprops={"color": colour},
        )
        spread = 0.16 * np.sin(np.arange(numbers.size) * 2.399963)
        axes.plot(place + spread, numbers, "o", color=colour, markersize=3.5, alpha=0.6)
    axes.set_xticks(range(1, len(groups) + 1), [_words(name) for name in groups])
    axes.set_ylabel(label)


@style.context(STYLE)
def separation_figure(runs: Sequence[Mapping[str, Any]]) -> Figure:
    """Reliability score and calibration error per split, side by side.

    Args:
        runs: records with `split`, `reliability_score` and `pred_calibration_error`.
    """
    splits = list(dict.fromkeys(run["split"] for run in runs))
    figure, axes = _figure(1, 2, 9.0, 4.2)
    for panel, key, label in (
        (axes[0, 0], "reliability_score", "reliability score, 0 to 100"),
        (axes[0, 1], "pred_calibration_error", "calibration error"),
    ):
        _boxes(
            panel,
            {split: [run[key] for run in runs if run["split"] == split] for split in splits},
            label,
        )
    return figure


@style.context(STYLE)
def trace_figure(
    t_s: ArrayLike,
    current: ArrayLike,
    observed: ArrayLike,
    predictive_mean: ArrayLike,
    predictive_std: ArrayLike,
    title: str = "",
) -> Figure:
    """A trace with its posterior predictive: mean, bands of one and two std, samples.

    Args:
        t_s: [L] time, s.
        current: [L] measured current density, mA/cm^2.
        observed: [L] bool, False where the sample was withheld.
        predictive_mean: [L] mA/cm^2.
        predictive_std: [L] mA/cm^2, noise included.
        title: such as the case and its score.
    """
    time, mean, std = (np.asarray(a, float) for a in (t_s, predictive_mean, predictive_std))
    samples, seen = np.asarray(current, float), np.asarray(observed, bool)
    figure, grid = _figure(1, 1, 9.0, 4.2)
    axes = grid[0, 0]
    for width, alpha in ((2, 0.15), (1, 0.3)):
        axes.fill_between(
            time,
            mean - width * std,
            mean + width * std,
            color=COLOURS[0],
            alpha=alpha,
            linewidth=0,
            label=f"±{width} std",
        )
    axes.plot(time, mean, color=COLOURS[0], label="predictive mean")
    axes.plot(time[seen], samples[seen], "o", color="black", markersize=2.8, label="observed")
    axes.plot(
        time[~seen],
        samples[~seen],
        "o",
        color=COLOURS[1],
        markerfacecolor="none",
        markersize=3.5,
        label="missing",
    )
    axes.set(xlabel="time / s", ylabel="current density / mA cm$^{-2}$", title=title)
    axes.legend(ncols=5, loc="upper center", bbox_to_anchor=(0.5, -0.16))
    return figure


@style.context(STYLE)
def lines_figure(
    panels: Sequence[Mapping[str, tuple[ArrayLike, ArrayLike]]],
    x_labels: Sequence[str],
    y_labels: Sequence[str],
    titles: Sequence[str] = (),
    log: Sequence[str] = (),
) -> Figure:
    """Panels side by side, each with lines named in a legend.

    Args:
        panels: for each panel, x and y by the name of the line.
        x_labels: quantity and unit for each panel, such as "potential / V".
        y_labels: the same for y.
        titles: of the panels, or empty.
        log: logarithmic axes of the panels: "", "x", "y" or "xy"; their points are marked.
    """
    figure, grid = _figure(1, len(panels), min(4.5 * len(panels), 13.0), 3.8)
    for index, (axes, lines) in enumerate(zip(grid[0], panels, strict=True)):
        scale = log[index] if log else ""
        for order, (name, (x, y)) in enumerate(lines.items()):
            axes.plot(
                np.asarray(x),
                np.asarray(y),
                linestyle=DASHES[order % len(DASHES)],
                marker="o" if scale else None,
                markersize=4.0,
                label=name,
            )
        for letter in scale:
            _logarithmic(axes, letter)
        axes.set(xlabel=x_labels[index], ylabel=y_labels[index])
        if titles:
            axes.set_title(titles[index])
        if len(lines) > 1:
            axes.legend()
    return figure


@style.context(STYLE)
def points_figure(
    panels: Sequence[Mapping[str, tuple[float, float]]],
    x_labels: Sequence[str],
    y_labels: Sequence[str],
    marked: Sequence[str] = (),
    log: Sequence[str] = (),
) -> Figure:
    """Panels side by side, each with named points that a number refers to.

    Args:
        panels: for each panel, x and y by the name of the point; the same names in all.
        x_labels, y_labels: quantity and unit for each panel.
        marked: names that stand out.
        log: logarithmic axes of the panels: "", "x", "y" or "xy".
    """
    figure, grid = _figure(1, len(panels), min(5.2 * len(panels), 13.0), 4.4)
    for index, (axes, points) in enumerate(zip(grid[0], panels, strict=True)):
        for order, (name, (x, y)) in enumerate(points.items(), start=1):
            strong = name in marked
            axes.plot(
                x,
                y,
                "D" if strong else "o",
                color=COLOURS[1] if strong else COLOURS[0],
                markersize=8.0 if strong else 5.0,
                label=f"{order} {name}",
            )
        for letter in log[index] if log else "":
            _logarithmic(axes, letter)
        axes.set(xlabel=x_labels[index], ylabel=y_labels[index])
        axes.margins(0.08)
        _number(axes, list(points.values()))
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside right center", fontsize=8)
    return figure


def _number(axes: Axes, points: Sequence[tuple[float, float]]) -> None:
    """Write the numbers of points beside them, from 1; those close together share a place."""
    axes.autoscale_view()
    places = axes.transAxes.inverted().transform(axes.transData.transform(points))
    free = list(range(len(points)))
    while free:
        first = free[0]
        near = [k for k in free if np.abs(places[k] - places[first]).max() < _NEAR]
        free = [k for k in free if k not in near]
        words = ", ".join(str(k + 1) for k in near)
        axes.annotate(words, points[first], xytext=(5, 5), textcoords="offset points", size=9)


@style.context(STYLE)
def spans_figure(
    points: Mapping[str, tuple[float, float, float, float]], x_label: str, y_label: str
) -> Figure:
    """Points named in a legend, with the intervals of their y, such as risk against time.

    Args:
        points: x, y, and the lower and upper limit of y, by the name of the point.
        x_label, y_label: quantity and unit.
    """
    figure, grid = _figure(1, 1, 8.0, 4.0)
    axes = grid[0, 0]
    for order, (name, (x, y, low, high)) in enumerate(points.items()):
        axes.errorbar(
            x,
            y,
            yerr=[[y - low], [high - y]],
            fmt="osD^v"[order % 5],
            capsize=3.0,
            color=COLOURS[order % len(COLOURS)],
            label=name,
        )
    axes.set(xlabel=x_label, ylabel=y_label)
    figure.legend(loc="outside right center", fontsize=9)
    return figure


@style.context(STYLE)
def groups_figure(
    groups: Mapping[str, ArrayLike],
    label: str,
    bound: float | None = None,
    log: bool = False,
    bound_name: str = "bound",
    x_label: str = "",
) -> Figure:
    """Box and points of a number per group, such as the NRMSE per task.

    Args:
        groups: values by the name of the group.
        label: quantity and unit.
        bound: drawn as a dashed line when given.
        log: whether the axis is logarithmic.
        bound_name: what the line is called.
        x_label: what the groups differ by.
    """
    figure, grid = _figure(1, 1, min(max(6.0, 1.5 * len(groups)), 9.0), 4.0)
    axes = grid[0, 0]
    _boxes(axes, groups, label)
    axes.set_xlabel(x_label)
    if log:
        axes.set_yscale("log")
    if bound is not None:
        axes.axhline(bound, color="black", linestyle="--", label=f"{bound_name} {bound:.3g}")
        figure.legend(loc="outside upper right")
    return figure


@style.context(STYLE)
def grid_figure(
    x: ArrayLike,
    curves: Mapping[str, ArrayLike],
    titles: Sequence[str],
    x_label: str,
    y_label: str,
    columns: int = 3,
    points: Sequence[str] = (),
) -> Figure:
    """Small panels that compare curves case by case, such as the worst cases of a surrogate.

    Args:
        x: [n, L] abscissa of each case.
        curves: [n, L] ordinates of each case, by the name of the curve.
        titles: [n] titles of the cases.
        x_label: quantity and unit.
        y_label: quantity and unit.
        columns: panels in a row.
        points: names of the curves that are drawn as points.
    """
    abscissa = np.asarray(x)
    rows = -(-len(titles) // columns)
    figure, grid = _figure(rows, columns, 3.6 * columns, 2.6 * rows)
    for case, axes in enumerate(grid.flat):
        if case >= len(titles):
            axes.set_axis_off()
            continue
        for order, (name, values) in enumerate(curves.items()):
            drawn = name in points
            axes.plot(
                abscissa[case],
                np.asarray(values)[case],
                linestyle="" if drawn else DASHES[order % len(DASHES)],
                marker="." if drawn else None,
                markersize=3.0,
                label=name,
            )
        axes.set_title(titles[case], fontsize=9)
        axes.locator_params(axis="x", nbins=5)
    figure.supxlabel(x_label, fontsize=10)
    figure.supylabel(y_label, fontsize=10)
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper right", ncols=4)
    return figure


@style.context(STYLE)
def ranks_figure(panels: Mapping[str, tuple[ArrayLike, float, float]], columns: int = 5) -> Figure:
    """Rank histograms, each with the band that uniform ranks stay in.

    Args:
        panels: counts of each bin, and the limits of the band, by the name of the parameter.
        columns: panels in a row.
    """
    rows = -(-len(panels) // columns)
    figure, grid = _figure(rows, columns, 2.4 * columns, 1.9 * rows)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    for axes, (name, (counts, low, high)) in zip(grid.flat, panels.items(), strict=False):
        heights = np.asarray(counts, float)
        axes.bar(np.arange(len(heights)), heights, width=0.92, color=COLOURS[5])
        axes.axhspan(low, high, color=COLOURS[4], alpha=0.35, zorder=0, label="uniform ranks")
        axes.axhline(heights.mean(), color="black", linestyle="--", linewidth=1.0)
        axes.set_title(name, fontsize=9)
        axes.set_xticks([])
    figure.supxlabel("rank of the true value, from lowest to highest", fontsize=10)
    figure.supylabel("cases", fontsize=10)
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper right")
    return figure


@style.context(STYLE)
def intervals_figure(
    groups: Mapping[str, Mapping[str, tuple[float, float, float]]],
    label: str,
    target: float,
    band: tuple[float, float] | None = None,
) -> Figure:
    """Values with their intervals, by name and group, such as the coverage of each parameter.

    Args:
        groups: value, lower and upper limit by name, by group.
        label: quantity and unit.
        target: drawn as a dashed line.
        band: drawn in grey behind it.
    """
    names = list(dict.fromkeys(name for values in groups.values() for name in values))
    figure, grid = _figure(1, 1, 9.0, 0.9 + 0.34 * len(names))
    axes = grid[0, 0]
    if band is not None:
        axes.axvspan(*band, color="black", alpha=0.08)
    axes.axvline(target, color="black", linestyle="--", linewidth=1.0)
    for order, (group, values) in enumerate(groups.items()):
        place = [names.index(name) + 0.16 * (order - (len(groups) - 1) / 2) for name in values]
        middle, low, high = np.array(list(values.values())).T
        axes.errorbar(
            middle,
            place,
            xerr=[middle - low, high - middle],
            fmt="osD^v"[order % 5],
            markersize=4.0,
            color=COLOURS[order % len(COLOURS)],
            label=group,
        )
    axes.set(xlabel=label, yticks=range(len(names)), yticklabels=names)
    axes.invert_yaxis()
    figure.legend(loc="outside upper right", ncols=3)
    return figure


@style.context(STYLE)
def map_figure(
    values: ArrayLike, rows: Sequence[str], columns: Sequence[str], label: str
) -> Figure:
    """A map of numbers between 0 and 1, each written in its cell; NaN stays empty.

    Args:
        values: [rows, columns].
        rows, columns: their names.
        label: quantity.
    """
    figure, grid = _figure(1, 1, 2.2 + 0.62 * len(columns), 1.6 + 0.36 * len(rows))
    image = _map(grid[0, 0], values, rows, columns)
    figure.colorbar(image, ax=grid[0, 0], label=label)
    return figure


@style.context(STYLE)
def maps_figure(
    panels: Mapping[str, ArrayLike], rows: Sequence[str], columns: Sequence[str], x_label: str
) -> Figure:
    """Maps of shares over the same rows and columns, side by side.

    Args:
        panels: [rows, columns] by title.
        rows, columns: their names.
        x_label: of the columns.
    """
    width = 2.4 + 0.31 * len(columns) * len(panels)
    figure, grid = _figure(1, len(panels), width, 1.6 + 0.34 * len(rows))
    for number, (axes, (title, values)) in enumerate(zip(grid[0], panels.items(), strict=True)):
        names = rows if number == 0 else [""] * len(rows)
        image = _map(axes, 100.0 * np.asarray(values, float), names, columns, 100.0)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel(x_label)
    figure.colorbar(image, ax=list(grid[0]), label="share of traces / %", aspect=40)
    return figure


def _map(
    axes: Axes,
    values: ArrayLike,
    rows: Sequence[str],
    columns: Sequence[str],
    largest: float = 1.0,
) -> Any:
    numbers = np.asarray(values, float)
    axes.grid(visible=False)
    image = axes.imshow(numbers, cmap="cividis", vmin=0.0, vmax=largest, aspect="auto")
    digits = 2 if largest == 1.0 else 0
    for (row, column), value in np.ndenumerate(numbers):
        if np.isfinite(value):
            colour = "black" if value > 0.6 * largest else "white"
            words = f"{value:.{digits}f}"
            axes.text(column, row, words, ha="center", va="center", size=8, color=colour)
    axes.set_xticks(range(len(columns)), columns, rotation=60, ha="right")
    axes.set_yticks(range(len(rows)), rows)
    return image
