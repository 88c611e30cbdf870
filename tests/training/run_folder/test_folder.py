"""A run belongs to one process at a time, and is there at every moment."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from textwrap import dedent

import pytest

from unrolled.errors import UserError
from unrolled.training.run_folder import folder as run_folder
from unrolled.training.run_folder.folder import RunFolder
from unrolled.training.run_folder.lock import STALE, FolderLock, Owner


def fill(content: str) -> Callable[[RunFolder], None]:
    def write(draft: RunFolder) -> None:
        draft.cache.mkdir()
        (draft.cache / "train.npy").write_text(content)
        draft.options.write_text(content)

    return write


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def make(path: Path, content: str = "old", *, overwrite: bool = False) -> RunFolder:
    with RunFolder.created(path, fill(content), overwrite=overwrite) as folder:
        return folder


def lock_of(path: Path, age: float, **owner: object) -> None:
    """Leave the lock of another process in a run."""
    file = path / ".lock"
    content = asdict(replace(Owner.myself(), **owner))  # type: ignore[arg-type]
    file.write_text(json.dumps(content))
    os.utime(file, (time.time() - age,) * 2)


def test_a_lock_names_its_owner(tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    with run.writing():
        for attempt in (
            lambda: make(run.path, overwrite=True),
            lambda: RunFolder(run.path).writing().__enter__(),
        ):
            with pytest.raises(UserError) as caught:
                attempt()
            message = str(caught.value)
            assert f"{run.path}: held by process {os.getpid()} on {os.uname().nodename}" in message
            assert Path(sys.argv[0]).name in message
            assert f"kill {os.getpid()}" in message
        assert run.options.read_text() == "old"
        assert names(tmp_path) == ["run"]
    with run.writing():
        pass


def test_a_new_run_is_held_from_its_first_moment(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with RunFolder.created(path, fill("new")) as run:
        run.write(run.summary, b"mine")
        with pytest.raises(UserError, match="held by"), RunFolder(path).writing():
            pass
    with RunFolder(path).writing():
        pass


def test_a_process_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    script = (
        "import os, sys; from unrolled.training.run_folder.folder import RunFolder\n"
        "with RunFolder(sys.argv[1]).writing(): os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(run.path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert (run.path / ".lock").stat().st_size > 0
    with run.writing():
        pass


def test_another_machine_holds_a_run_while_it_gives_a_sign_of_life(tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    other = {"host": "elsewhere", "boot": "another", "pid": 7, "command": "unrolled train"}
    lock_of(run.path, 5, **other)
    with pytest.raises(UserError, match="held by process 7 on elsewhere") as caught, run.writing():
        pass
    assert f"if it no longer runs, wait 60 seconds or delete {run.path}/.lock" in str(caught.value)
    with pytest.raises(UserError, match="elsewhere"):
        make(run.path, overwrite=True)
    lock_of(run.path, STALE + 5, **other)
    with run.writing():
        run.check()


def test_a_holder_touches_its_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unrolled.training.run_folder.lock.TOUCHED_EVERY", 0.01)
    run = make(tmp_path / "run")
    with run.writing():
        os.utime(run.path / ".lock", (0, 0))
        deadline = time.monotonic() + 20
        while (run.path / ".lock").stat().st_mtime == 0:
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "[" * 50_000, "\0" * 200_000])
def test_a_lock_that_says_nothing(tmp_path: Path, content: str) -> None:
    run = make(tmp_path / "run")
    (run.path / ".lock").write_text(content)
    if content:
        with pytest.raises(UserError, match="held by another process"), run.writing():
            pass
        os.utime(run.path / ".lock", (0, 0))
    with run.writing():
        run.check()


@pytest.mark.parametrize("kind", ["pipe", "folder", "link"])
def test_a_lock_that_is_no_file(tmp_path: Path, kind: str) -> None:
    run = make(tmp_path / "run")
    precious, file = tmp_path / "precious", run.path / ".lock"
    precious.write_text("precious")
    file.unlink()
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    else:
        file.symlink_to(precious)
    with pytest.raises(UserError, match=r"expected a file|too many levels"), run.writing():
        pass
    assert precious.read_text() == "precious"


# The run is taken away from under a process ------------------------------------------------------


def test_a_lock_file_that_was_deleted_is_put_back(tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    with run.writing():
        (run.path / ".lock").unlink()
        run.write(run.summary, b"mine")
        with pytest.raises(UserError, match="held by"), RunFolder(run.path).writing():
            pass


def test_a_process_that_lost_its_lock_writes_nothing_more(tmp_path: Path) -> None:
    run, second = make(tmp_path / "run"), RunFolder(tmp_path / "run")
    with run.writing():
        (run.path / ".lock").unlink()
        with second.writing():
            second.write(run.summary, b"second")
            with pytest.raises(UserError, match="was taken over by process") as caught:
                run.write(run.summary, b"first")
            assert caught.value.code == 1
        # nor after the second has finished
        with pytest.raises(UserError, match="was taken over by another process"):
            run.write(run.summary, b"first")
        second.write(second.summary, b"third")
    assert run.summary.read_bytes() == b"third"


def test_a_lock_file_is_not_put_back_over_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make(tmp_path / "run")
    with run.writing():
        (run.path / ".lock").unlink()
        with RunFolder(run.path).writing():
            pass
        monkeypatch.setattr(os.path, "lexists", lambda path: False)  # it came a moment later
        with pytest.raises(UserError, match="was taken over"):
            run.check()


def test_another_machine_takes_over_from_one_that_slept(tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    with run.writing():
        lock_of(run.path, 0, host="elsewhere", boot="another", pid=7)
        with pytest.raises(UserError, match="taken over by process 7 on elsewhere"):
            run.check()
    assert b"elsewhere" in (run.path / ".lock").read_bytes()  # and its lock is left alone


def moved_away(path: Path) -> None:
    path.rename(path.with_name("moved"))


def replaced(path: Path) -> None:
    shutil.rmtree(path)
    make(path, "new")


def replaced_by_a_copy(path: Path) -> None:
    shutil.copytree(path, path.with_name("copy"))
    shutil.rmtree(path)
    path.with_name("copy").rename(path)


def emptied(path: Path) -> None:
    for file in path.iterdir():
        shutil.rmtree(file) if file.is_dir() else file.unlink()


@pytest.mark.parametrize("harm", [moved_away, replaced, replaced_by_a_copy, shutil.rmtree, emptied])
def test_a_run_that_is_gone_is_not_written_to(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    run = make(tmp_path / "run")
    with run.writing():
        harm(run.path)
        for _ in range(2):
            with pytest.raises(UserError, match="removed") as caught:
                run.write(run.summary, b"mine")
            assert caught.value.code == 1
    assert not run.summary.exists()


def test_the_last_look_is_right_before_the_rename(tmp_path: Path) -> None:
    """A checkpoint takes seconds to write; the run may be taken away meanwhile."""
    run = make(tmp_path / "run")
    real = os.fsync

    def slow(handle: int) -> None:
        real(handle)
        if run.path.exists() and not (tmp_path / "moved").exists():
            moved_away(run.path)
            make(run.path, "new")

    with run.writing(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", slow)
        with pytest.raises(UserError, match="was replaced or removed"):
            run.write(run.summary, b"mine")
    assert names(run.path) == [".lock", "cache", "options.toml"]


# A new run takes an old one's place -------------------------------------------------------------


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    make(tmp_path / "disk" / "run")
    (tmp_path / "run").symlink_to("disk/run")
    make(tmp_path / "run", "new", overwrite=True)
    assert (tmp_path / "run").is_symlink()
    assert (tmp_path / "disk" / "run" / "options.toml").read_text() == "new"
    assert names(tmp_path / "disk") == ["run"]


def test_nothing_remains_of_a_run_that_could_not_be_set_up(tmp_path: Path) -> None:
    def fail(draft: RunFolder) -> None:
        fill("new")(draft)
        raise KeyboardInterrupt

    make(tmp_path / "run")
    for name in ("run", "other"):
        with (
            pytest.raises(KeyboardInterrupt),
            RunFolder.created(tmp_path / name, fail, overwrite=True),
        ):
            pass
    assert names(tmp_path) == ["run"]
    assert (tmp_path / "run" / "options.toml").read_text() == "old"


KILLS = dedent(
    """
    import json, os, sys
    from pathlib import Path
    from unrolled.training.run_folder import folder as run_folder
    from tests.training.run_folder.test_folder import make, names
    from unrolled.training.run_folder.folder import RunFolder

    run_folder.STALE = 0.0
    parent, begin = Path(sys.argv[1]), sys.argv[2]
    path = parent / "run"
    EVENTS = ("os.", "shutil.", "open")


    def killed(point):
        "Whether a process that makes a run dies before its call to the system of this number."
        child = os.fork()
        if child == 0:
            seen = 0

            def count(event, arguments):
                nonlocal seen
                if event.startswith(EVENTS):
                    seen += 1
                    if seen == point:
                        os.kill(os.getpid(), 9)

            sys.addaudithook(count)
            make(path, "new", overwrite=True)
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9


    results = []
    for point in range(1, 500):
        if begin == "old":
            make(path, "old", overwrite=True)
        else:
            import shutil
            shutil.rmtree(path, ignore_errors=True)
        if not killed(point):
            break
        there = path.exists()
        try:
            run = RunFolder.existing(path)
            found = run.options.read_text()
            assert (run.cache / "train.npy").read_text() == found
            with run.writing():
                pass
        except run_folder.UserError:
            found = "none"
        make(parent / "another", overwrite=True)  # of another name: it sweeps as well
        results.append((there, found, names(parent)))
    print(json.dumps(results))
    """
)


@pytest.mark.parametrize("begin", ["old", "none"])
def test_killed_at_every_point_of_a_replacement(tmp_path: Path, begin: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLS, str(tmp_path), begin],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert len(results) > (30 if begin == "old" else 10)
    found = [what for _, what, _ in results]
    assert found == sorted(found, key=["old", "none", "new"].index)  # first the old, then the new
    assert set(found) == {begin, "new"}
    if begin == "old":  # at one point it was there under its hidden name only, and was put back
        assert [there for there, *_ in results].count(False) == 1
    for _, what, left in results:
        assert left == ["another", "run"] if what != "none" else ["another"]


def test_only_what_nobody_holds_is_swept(tmp_path: Path) -> None:
    def look(draft: RunFolder) -> None:
        make(tmp_path / "two")
        fill("new")(draft)

    make(tmp_path / "run")
    (tmp_path / ".run.notes.draft").mkdir()  # not ours by its name
    (tmp_path / ".one.0123456789ab.draft").mkdir()  # born this moment
    with RunFolder.created(tmp_path / "run", look, overwrite=True) as run:
        assert run.options.read_text() == "new"
    elsewhere = tmp_path / ".run.ba9876543210.draft"
    elsewhere.mkdir()
    lock_of(elsewhere, 5, host="elsewhere", boot="another")
    make(tmp_path / "three")
    assert {p.name for p in tmp_path.iterdir()} == {
        "run", "two", "three", ".run.notes.draft", ".one.0123456789ab.draft", elsewhere.name,
    }  # fmt: skip
    lock_of(elsewhere, STALE + 5, host="elsewhere", boot="another")
    os.utime(tmp_path / ".one.0123456789ab.draft", (0, 0))
    run_folder.sweep(tmp_path / "run")
    assert names(tmp_path) == [".run.notes.draft", "run", "three", "two"]


def test_temporary_files_of_a_killed_writer_are_swept(tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    run.samples.mkdir()
    strays = [run.path / ".weights.safetensors.abc.tmp", run.samples / ".00000001.txt.abc.tmp"]
    kept = [run.path / "mine.tmp", run.path / ".notes"]
    for file in (*strays, *kept):
        file.touch()
    with run.writing():
        assert not any(file.exists() for file in strays)
    assert all(file.exists() for file in kept)


def test_a_lock_is_given_back_by_its_holder_only(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()
    lock.release()
    assert (tmp_path / ".lock").read_bytes() == b""
