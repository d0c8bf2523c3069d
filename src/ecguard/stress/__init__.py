"""Failure modes of a real sensor, one a file. ALL lists them; every mode obeys the same laws.

A mode acts on an `Experiment`: at the electrode, and then the current differs before any noise, or
on the reading of it. Severity 0 is the clean measurement, 1 a serious but real fault.
"""

from ecguard.stress.baseline_drift import BaselineDrift
from ecguard.stress.biofouling import Biofouling
from ecguard.stress.biofouling_cleaned import BiofoulingCleaned
from ecguard.stress.biofouling_growing import BiofoulingGrowing
from ecguard.stress.clipping import Clipping
from ecguard.stress.double_layer_drift import DoubleLayerDrift
from ecguard.stress.dropped_samples import DroppedSamples
from ecguard.stress.electrode_area import ElectrodeArea
from ecguard.stress.experiment import Experiment
from ecguard.stress.follow_up_reaction import FollowUpReaction
from ecguard.stress.mains_hum import MainsHum
from ecguard.stress.mode import FailureMode
from ecguard.stress.noise_underestimated import NoiseUnderestimated
from ecguard.stress.oxygen_background import OxygenBackground
from ecguard.stress.passivating_film import PassivatingFilm
from ecguard.stress.quantisation import Quantisation
from ecguard.stress.reference_drift import ReferenceDrift
from ecguard.stress.scatter import Scatter
from ecguard.stress.spikes import Spikes
from ecguard.stress.surface_couple import SurfaceCouple
from ecguard.stress.time_axis import TimeAxis
from ecguard.stress.uncompensated_resistance import UncompensatedResistance
from ecguard.stress.unknown_couple import UnknownCouple

ALL: tuple[type[FailureMode], ...] = (
    Biofouling,
    BiofoulingGrowing,
    BiofoulingCleaned,
    PassivatingFilm,
    ReferenceDrift,
    UncompensatedResistance,
    DoubleLayerDrift,
    ElectrodeArea,
    UnknownCouple,
    FollowUpReaction,
    SurfaceCouple,
    OxygenBackground,
    BaselineDrift,
    MainsHum,
    Clipping,
    Quantisation,
    DroppedSamples,
    TimeAxis,
    NoiseUnderestimated,
    Spikes,
)

__all__ = [
    "ALL",
    "BaselineDrift",
    "Biofouling",
    "BiofoulingCleaned",
    "BiofoulingGrowing",
    "Clipping",
    "DoubleLayerDrift",
    "DroppedSamples",
    "ElectrodeArea",
    "Experiment",
    "FailureMode",
    "FollowUpReaction",
    "MainsHum",
    "NoiseUnderestimated",
    "OxygenBackground",
    "PassivatingFilm",
    "Quantisation",
    "ReferenceDrift",
    "Scatter",
    "Spikes",
    "SurfaceCouple",
    "TimeAxis",
    "UncompensatedResistance",
    "UnknownCouple",
]
