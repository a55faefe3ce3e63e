"""The forms of an image: whole or not at all, open to all, and nothing unpacked outside of its folder."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import tarfile
import threading
import time
from pathlib import Path

import pytest

from gridloom.errors import GridloomError, ImageProblem, Interrupted, NotWritable
from gridloom.images.build import Built
from gridloom.images.commands import Log, answer, log_file, run, step_in
from gridloom.images.exported import exports, unpack
from gridloom.images.forms import Workshop, definition, no_apptainer, workshop
from gridloom.images.places import LABELS, beside, check_target, open_to_all, size_of

BUILT = Built(builder="/usr/bin/docker", tag="gridloom:1", digest="sha256:abc")


def silent(path: Path) -> Log:
    return Log(path=path, say=lambda text: None)


# --- places -----------------------------------------------------------------------------------------------------------
def image_at(path: Path, text: str) -> None:
    (path / LABELS).parent.mkdir(parents=True)
    (path / LABELS).write_text(text)


def test_a_directory_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    target = tmp_path / "image"
    image_at(target, "old")
    with beside(target) as fresh:
        image_at(fresh, "new")
        assert (target / LABELS).read_text() == "old"
    assert (target / LABELS).read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    target = tmp_path / "image.sif"
    target.write_text("old")
    with beside(target) as fresh:
        fresh.write_text("new")
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("error", [Interrupted("stopped"), OSError(28, "No space left on device"), ValueError()])
def test_half_an_image_is_never_left(error: Exception, tmp_path: Path) -> None:
    target = tmp_path / "image"
    image_at(target, "old")

    def fail() -> None:
        with beside(target) as fresh:
            image_at(fresh, "half")
            (fresh / "locked").mkdir(mode=0o500)
            raise error

    with pytest.raises(type(error)):
        fail()
    assert (target / LABELS).read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("name", ["image", "image.sif"])
def test_nobodys_folder_is_replaced(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "thesis.tex").touch()
    with pytest.raises(NotWritable, match="no image of Gridloom's"):
        check_target(tmp_path / name)
    check_target(tmp_path / "new")


def test_everybody_may_read(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir(mode=0o700)
    for name, mode in (("program", 0o700), ("shadow", 0o600), ("open", 0o644)):
        (tmp_path / "d" / name).touch()
        (tmp_path / "d" / name).chmod(mode)
    (tmp_path / "d" / "link").symlink_to("/nowhere")
    open_to_all(tmp_path)
    modes = {path.name: path.lstat().st_mode & 0o7777 for path in tmp_path.rglob("*") if not path.is_symlink()}
    assert modes == {"d": 0o755, "program": 0o755, "shadow": 0o644, "open": 0o644}


def test_a_size_counts_links_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(1000))
    before = size_of(tmp_path)
    os.link(tmp_path / "a", tmp_path / "b")
    assert size_of(tmp_path) == before
    assert size_of(tmp_path / "a") == 1000


# --- what docker exports ----------------------------------------------------------------------------------------------
def archive(*members: tuple[str, str, bytes | str]) -> tarfile.TarFile:
    """An archive of (kind, name, content or target)."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as written:
        for kind, name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
                info.mode = 0o4755
                written.addfile(info, io.BytesIO(content))
                continue
            info.type = {"link": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE, "device": tarfile.CHRTYPE}[kind]
            info.linkname = content
            written.addfile(info)
    stream.seek(0)
    return tarfile.open(fileobj=stream, mode="r|")


def test_an_export_is_unpacked(tmp_path: Path) -> None:
    unpack(
        archive(
            ("file", "usr/bin/tool", b"#!"),
            ("hard", "usr/bin/other", "usr/bin/tool"),
            ("link", "etc/alternatives/tool", "/usr/bin/tool"),
            ("device", "dev/console", ""),
        ),
        tmp_path,
    )
    assert (tmp_path / "usr" / "bin" / "other").read_bytes() == b"#!"
    assert not (tmp_path / "usr" / "bin" / "tool").stat().st_mode & 0o4000
    assert str((tmp_path / "etc" / "alternatives" / "tool").readlink()) == "/usr/bin/tool"
    assert not (tmp_path / "dev" / "console").exists()


@pytest.mark.parametrize(
    "members",
    [
        [("file", "../out", b"x")],
        [("link", "way", ".."), ("file", "way/out", b"x")],
        [("link", "way", "{outside}"), ("file", "way/out", b"x")],
    ],
)
def test_nothing_is_unpacked_outside(members: list[tuple[str, str, bytes | str]], tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    named = [
        (kind, name, text.replace("{outside}", str(tmp_path)) if isinstance(text, str) else text)
        for kind, name, text in members
    ]
    with pytest.raises(tarfile.FilterError):
        unpack(archive(*named), inside)
    assert not (tmp_path / "out").exists()


def test_variables_are_text_and_no_shell() -> None:
    script = exports(["PATH=/opt/gridloom/bin:/bin", "X=$(touch /tmp/x) 'a' \"b\"", "EMPTY="])
    done = subprocess.run(
        ["sh", "-c", script + 'echo "$X|$EMPTY|$PATH"'], capture_output=True, text=True, check=True, env={}
    )
    assert done.stdout == "$(touch /tmp/x) 'a' \"b\"||/opt/gridloom/bin:/bin\n"


# --- apptainer --------------------------------------------------------------------------------------------------------
def test_a_definition_names_the_image() -> None:
    text = definition(BUILT, Path("/out/.x/image.tar"))
    assert text == "Bootstrap: docker-archive\nFrom: /out/.x/image.tar\n\n%labels\n    org.gridloom.image sha256:abc\n"
    assert "--to directory" in no_apptainer().fix


def test_a_workshop_leaves_nothing(tmp_path: Path) -> None:
    with workshop(tmp_path / "new" / "images", silent(tmp_path / "log")) as shop:
        (shop.folder / "image.tar").touch()
    assert list((tmp_path / "new" / "images").iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(NotWritable), workshop(tmp_path / "file", silent(tmp_path / "log")):
        pass


APPTAINER = """#!/bin/sh
echo "$@" >> {log}
case "$*" in *zstd*) echo '{says}'; exit 1;; esac
while [ $# -gt 2 ]; do shift; done
echo image > "$1"
"""


@pytest.mark.parametrize(
    "says",
    [
        'Error for command "build": unknown flag: --mksquashfs-args',
        'mksquashfs: Compressor "zstd" is not supported!',
        "FATAL ERROR: Invalid -comp option",
    ],
)
def test_an_older_mksquashfs_compresses_by_gzip(says: str, tmp_path: Path) -> None:
    program = tmp_path / "apptainer"
    program.write_text(APPTAINER.format(log=tmp_path / "asked", says=says))
    program.chmod(0o755)
    heard: list[str] = []
    log = Log(path=tmp_path / "log", say=heard.append)
    with workshop(tmp_path / "out", log) as found:
        shop = Workshop(folder=found.folder, log=log, apptainer=str(program))
        shop.sif(BUILT, Path("/x/image.tar"), tmp_path / "out" / "x.sif")
    assert (tmp_path / "out" / "x.sif").read_text() == "image\n"
    assert len((tmp_path / "asked").read_text().splitlines()) == 2
    assert "by gzip" in heard[0]


def test_other_failures_are_not_tried_again(tmp_path: Path) -> None:
    program = tmp_path / "apptainer"
    program.write_text(APPTAINER.format(log=tmp_path / "asked", says="FATAL: the archive is torn"))
    program.chmod(0o755)
    with workshop(tmp_path / "out", silent(tmp_path / "log")) as found:
        shop = Workshop(folder=found.folder, log=found.log, apptainer=str(program))
        with pytest.raises(ImageProblem, match="cannot be converted"):
            shop.sif(BUILT, Path("/x/image.tar"), tmp_path / "out" / "x.sif")
    assert list((tmp_path / "out").iterdir()) == []


# --- programs and their logs ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("line", "step"),
    [
        ("#11 [libraries 2/2] RUN python3 -m venv /opt && uv pip", "[libraries 2/2] RUN python3 -m venv /opt"),
        ("#1 [internal] load build definition from Dockerfile", ""),
        ("#16 [gridloom 1/5] COPY --from=libraries /layers/tensorflow /", ""),
        ("#11 36.9 RUN", ""),
        ("[2/6] STEP 2/3: RUN apt-get update  && apt-get install", "RUN apt-get update"),
        ("STEP 2/3: RUN apt-get update", "RUN apt-get update"),
        ("Step 3/30 : RUN apt-get update", "RUN apt-get update"),
        ("Step 4/30 : ARG VARIANT=cpu", ""),
    ],
)
def test_steps_that_take_time_are_told(line: str, step: str) -> None:
    assert step_in(line + "\n") == step


def test_a_log_is_kept_when_something_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with log_file(lambda text: None) as log:
        run(["sh", "-c", "echo fine"], log, "it failed")
        assert log.path.read_text() == "fine\n"
    assert not log.path.exists()

    def fail(error: BaseException) -> Path:
        with pytest.raises(type(error)), log_file(lambda text: None) as log:
            raise error
        return log.path

    assert fail(ImageProblem("x")).exists()
    assert not fail(Interrupted("x")).exists()


def test_a_program_that_fails_or_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ImageProblem, match="it failed") as caught:
        run(["sh", "-c", "echo first; echo last >&2; exit 3"], silent(tmp_path / "log"), "it failed")
    assert caught.value.fix.endswith("    first\n    last")
    for ask in (lambda: run(["/no/such/program"], silent(tmp_path / "log"), "x"), lambda: answer(["/no/such/program"])):
        with pytest.raises(ImageProblem, match="cannot be started: No such file"):
            ask()
    with pytest.raises(ImageProblem, match="last words"):
        answer(["sh", "-c", "echo last words >&2; exit 1"])


def test_an_interrupted_program_may_clean_up(tmp_path: Path) -> None:
    """Apptainer has folders and mounts to remove: it is asked to end before it is made to."""
    script = f"trap 'echo clean > {tmp_path}/cleaned; exit 1' TERM; echo up; while :; do sleep 0.05; done"
    heard = threading.Event()

    def interrupt() -> None:
        until = time.monotonic() + 20
        while time.monotonic() < until and "up" not in (tmp_path / "log").read_text():
            time.sleep(0.02)
        heard.set()
        os.kill(os.getpid(), signal.SIGUSR1)

    def leave(*_: object) -> None:
        raise Interrupted("stopped on request")

    (tmp_path / "log").touch()
    kept = signal.signal(signal.SIGUSR1, leave)
    threading.Thread(target=interrupt).start()
    try:
        with pytest.raises(GridloomError, match="stopped on request"):
            run(["sh", "-c", script], silent(tmp_path / "log"), "it failed")
    finally:
        signal.signal(signal.SIGUSR1, kept)
    assert heard.is_set()
    assert (tmp_path / "cleaned").read_text() == "clean\n"
