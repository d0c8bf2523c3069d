"""Files that appear whole or not at all."""

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def write_atomic(path: Path | str, write: Callable[[Path], object]) -> Path:
    """Call `write` on a temporary file beside `path`, then rename it into place.

    The temporary name keeps the suffix of `path`, since writers such as `numpy.savez` append
    one that is missing. A failure removes the temporary file and leaves an old `path` untouched.

    Args:
        path: the file that shall appear; its folder is made.
        write: receives the temporary path and writes all of the file.

    Returns:
        `path`.

    Raises:
        OSError: the folder cannot be made or written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def write_text(path: Path | str, text: str) -> Path:
    """Write UTF-8 text whole or not at all."""
    return write_atomic(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def sha256(path: Path | str) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
