"""The one error that bad input raises."""

from collections.abc import Iterator
from contextlib import contextmanager


class InputError(ValueError):
    """A value from outside that cannot be used.

    The message names the parameter, the value it had, what is allowed and what to do about it.

    Args:
        name: parameter, key or file that is wrong.
        value: what it was.
        allowed: the range or form that is accepted.
        remedy: what the user can do.
    """

    def __init__(self, name: str, value: object, allowed: str, remedy: str) -> None:
        super().__init__(name, value, allowed, remedy)  # what a copy in another process is made of
        self.name = name

    def __str__(self) -> str:
        name, value, allowed, remedy = self.args
        return f"{name} = {value!r} cannot be used: {allowed}. {remedy}"


@contextmanager
def naming(where: str) -> Iterator[None]:
    """Say of an `InputError` in here where its value comes from, such as "of trace.csv"."""
    try:
        yield
    except InputError as error:
        name, *others = error.args
        raise InputError(f"{name} {where}", *others) from error
