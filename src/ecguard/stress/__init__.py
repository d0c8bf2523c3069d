"""Failure modes of a real sensor, one a file. ALL lists them; every mode obeys the same laws."""

from ecguard.stress.biofouling import Biofouling

ALL = (Biofouling,)

__all__ = ["ALL", "Biofouling"]
