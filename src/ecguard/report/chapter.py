"""What the cells of a chapter call."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from IPython.display import Image, Markdown
from matplotlib.figure import Figure

from ecguard.report import claims as claims_module
from ecguard.report.claims import Claim
from ecguard.report.figures import save_figure
from ecguard.report.pages import claims_table
from ecguard.report.parameters import check_namespace, check_writable
from ecguard.report.paths import Layout, find_root
from ecguard.report.payload import save_payload
from ecguard.report.profiles import Profile, profile_named
from ecguard.report.provenance import provenance, provenance_line


@dataclass(frozen=True)
class Chapter:
    """A chapter while it runs.

    Args:
        name: what the ids of its claims begin with, such as `failure-modes`.
        parameters: checked parameters by name; None is replaced by the profile's number where
            the profile has one of that name.
        profile: sizes to compute.
        seed: seed of all that is drawn, or None.
        out_dir: folder of its payloads and figures, made with the first of them.
        started: `time.perf_counter()` at its start, s.
    """

    name: str
    parameters: Mapping[str, Any]
    profile: Profile
    seed: int | None
    out_dir: Path
    started: float

    def claim(
        self,
        key: str,
        text: str,
        value: float | None,
        *,
        bound: Mapping[str, Any],
        unit: str = "",
        interval: Sequence[float] | None = None,
        n: int | None = None,
        seconds: float | None = None,
        note: str = "",
        figure: str = "",
    ) -> Claim:
        """A claim of this chapter, see `ecguard.report.claims.claim`.

        `seconds` defaults to the time since the chapter began.
        """
        return claims_module.claim(
            self.name,
            key,
            text,
            value,
            bound=bound,
            unit=unit,
            interval=interval,
            n=n,
            seconds=time.perf_counter() - self.started if seconds is None else seconds,
            note=note,
            figure=figure,
        )

    def figure(self, figure: Figure, file_name: str, alt: str) -> Image:
        """Save a figure and show it; make the call the last line of its cell.

        Args:
            figure: made by `ecguard.report.figures`.
            file_name: name of the PNG in `out_dir`.
            alt: what the figure shows, for those who cannot see it.
        """
        path = save_figure(figure, self.out_dir / file_name, alt)
        return Image(data=path.read_bytes(), format="png", alt=alt)

    def save(
        self,
        file_name: str,
        payload: Mapping[str, Any],
        claims: Iterable[Claim] = (),
        schema: str = "chapter",
    ) -> Markdown:
        """Write a payload with its claims to `out_dir`, and show the claims."""
        claims = tuple(claims)
        save_payload(
            self.out_dir / file_name,
            payload,
            schema,
            claims=claims,
            provenance=provenance(self.seed, self.profile.name, self.started),
        )
        return Markdown(claims_table(claims) if claims else f"Payload `{file_name}`.")

    def provenance(self) -> Markdown:
        """The last line of a chapter."""
        record = provenance(self.seed, self.profile.name, self.started)
        return Markdown(f"*Provenance: {provenance_line(record)}.*")


def start(name: str, namespace: Mapping[str, Any]) -> Chapter:
    """Begin a chapter: check its parameters before any work.

    Args:
        name: name of the chapter.
        namespace: `globals()` of the notebook.

    Raises:
        InputError: a parameter is unknown, of a wrong type or out of range.
    """
    started = time.perf_counter()
    parameters = check_namespace(namespace)
    profile = profile_named(parameters.get("profile", "smoke"))
    for key, value in parameters.items():
        if value is None:
            parameters[key] = getattr(profile, key, None)
    layout = Layout(find_root() or Path.cwd())
    out_dir = Path(parameters.get("out_dir") or layout.default_out_dir(name))
    check_writable(out_dir)
    return Chapter(
        name=name,
        parameters=parameters,
        profile=profile,
        seed=parameters.get("seed"),
        out_dir=out_dir,
        started=started,
    )
