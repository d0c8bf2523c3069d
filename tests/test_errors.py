"""Errors say what is wrong, and say it in another process too."""

import pickle

from ecguard.errors import InputError


def test_copy_of_an_error_says_the_same() -> None:
    error = InputError("n_cases", 0, "1 or more", "Ask for more.")
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error) == "n_cases = 0 cannot be used: 1 or more. Ask for more."
    assert copy.name == error.name == "n_cases"
