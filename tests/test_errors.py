"""Errors say what is wrong, and say it in another process too."""

from copy import copy

from ecguard.errors import InputError


def test_copy_of_an_error_says_the_same() -> None:
    error = InputError("n_cases", 0, "1 or more", "Ask for more.")
    other = copy(error)  # made of what would be sent to another process
    assert str(other) == str(error) == "n_cases = 0 cannot be used: 1 or more. Ask for more."
    assert other.name == error.name == "n_cases"
