"""A chapter begins without a trace and makes its folder with its first file."""

from pathlib import Path

from ecguard.report.chapter import start


def test_start_touches_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    namespace = {"__annotations__": {"out_dir": str}, "out_dir": str(folder)}
    chapter = start("tiny", namespace)
    assert not folder.exists()
    chapter.save("tiny.json", {"value": 1})
    assert (folder / "tiny.json").is_file()
