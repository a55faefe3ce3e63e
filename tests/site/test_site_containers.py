"""Tasks in containers: the same bits as bare wherever they run, clear words when they cannot, nothing in or out."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from site_images import Images, built_images
from site_runs import finish, site_settings, start, trained_bits, until
from whole_runs import Answer, answer_of, command, environment

from gridloom.testing.engine import (
    Bench,
    cancels_at_once,
    cancels_softly,
    runs_a_job,
    sees_a_lost_worker,
    tells_an_error,
)

pytestmark = [pytest.mark.site, pytest.mark.containers]
Check = Callable[[Bench], None]


@pytest.fixture(scope="module")
def images(testbed: Path) -> Images:
    return built_images()


def contained(name: str, images: Images, testbed: Path, **changes: Any) -> dict[str, Any]:
    """A site of the testbed whose jobs run in a container; where jobs find programs is for the site to say."""
    container = {"image": str(images.sif), **changes}
    setup = f"export PATH={testbed}/bin:$PATH DOCKER_HOST={os.environ.get('DOCKER_HOST', '')}"
    return site_settings(name, container=container, setup=setup)


def write_contained(folder: Path, sites: dict[str, Any]) -> None:
    (folder / "sites.yaml").write_text(json.dumps({"gridloom": 1, "sites": sites}))


def provenance(runs: Path) -> set[tuple[str, str]]:
    """Runtime and digest of the image of every result."""
    found = [json.loads(path.read_text())["image"] for path in runs.glob(".store/*/result.json")]
    return {(image["runtime"], image["digest"]) for image in found}


def digest(images: Images) -> str:
    done = subprocess.run(
        ["docker", "image", "inspect", "--format", "{{.Id}}", images.docker], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


# --- the same bits --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("form", ["docker", "sif"])
def test_the_same_weights_here_in_each_form(
    form: str, tth: Path, here: dict[str, Any], images: Images, tmp_path: Path
) -> None:
    image = getattr(images, form)
    finish(start(tth, tmp_path / "runs", "--image", str(image)))
    assert trained_bits(tmp_path / "runs") == here
    assert provenance(tmp_path / "runs") == {("docker" if form == "docker" else "apptainer", digest(images))}


@pytest.mark.parametrize("site", ["htcondor", "slurm"])
def test_the_same_weights_in_jobs_with_apptainer(
    site: str, tth: Path, here: dict[str, Any], images: Images, tmp_path: Path, testbed: Path
) -> None:
    image = images.directory if site == "slurm" else images.sif
    folder = tmp_path / "project"
    shutil.copytree(tth.parent, folder, ignore=shutil.ignore_patterns("here"))
    write_contained(folder, {"grid": contained(site, images, testbed, image=str(image))})
    finish(start(folder / "analysis.yaml", tmp_path / "runs", "--site", "grid"))
    assert trained_bits(tmp_path / "runs") == here
    assert provenance(tmp_path / "runs") == {("apptainer", digest(images))}


@pytest.mark.parametrize("runtime", ["apptainer", "docker"])
@pytest.mark.parametrize("check", [runs_a_job, tells_an_error, sees_a_lost_worker, cancels_softly, cancels_at_once])
def test_the_contract_of_an_engine_holds_in_containers(
    check: Check, runtime: str, images: Images, testbed: Path, bench_of: Callable[..., Bench]
) -> None:
    """Signals reach the job inside, its exit codes come out, and what it saved is there."""
    image = images.docker if runtime == "docker" else str(images.sif)
    settings = contained("slurm", images, testbed, image=image, runtime=runtime)
    check(bench_of("slurm", container=settings["container"], setup=settings["setup"]))


def test_a_removed_job_of_htcondor_brings_its_state_home_from_a_container(
    images: Images, testbed: Path, bench_of: Callable[..., Bench]
) -> None:
    settings = contained("htcondor", images, testbed)
    cancels_softly(bench_of("htcondor", container=settings["container"], setup=settings["setup"]))


# --- what a site check says -----------------------------------------------------------------------------------------
def checked(site: dict[str, Any], folder: Path) -> Answer:
    write_contained(folder, {"grid": site})
    return answer_of(command("site", "check", "grid", "--runs", folder / "runs"), folder)


@pytest.mark.parametrize("site", ["htcondor", "slurm"])
def test_a_site_with_containers_is_checked(site: str, images: Images, testbed: Path, tmp_path: Path) -> None:
    told = checked(contained(site, images, testbed), tmp_path)
    assert told.code == 0, told.output + told.told
    for word in (
        "container       apptainer version 1.4",
        f"image           {digest(images)}",
        "from the job's script to Python in the container",
        "runtimes        apptainer version 1.4",
        "user namespaces are allowed",
        "imported in",
    ):
        assert word in told.output, told.output


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image": "/no/such/image.sif"}, "the image /no/such/image.sif cannot be read on node"),
        ({"image": "no-such-image:1"}, "no-such-image"),
        ({"runtime": "podman"}, "there is no podman that could use the image on node"),
        ({"python": "/usr/bin/no-python3"}, "the image has no Python where Gridloom looks for it"),
        ({"python": "/usr/bin/python3"}, "Gridloom is not in the image"),
        ({"image": "TEXT"}, "the image is no SIF file and no directory that the runtime can read"),
        ({"image": "CUT"}, "the image is damaged or cut short"),
        ({"image": "EMPTY"}, "the image is no root file system"),
    ],
    ids=["missing", "unknown", "no runtime", "no python", "no gridloom", "text", "cut", "empty"],
)
def test_a_container_that_cannot_start_is_told(
    changes: dict[str, str], words: str, images: Images, testbed: Path, tmp_path: Path
) -> None:
    made = {"TEXT": tmp_path / "text.sif", "CUT": tmp_path / "cut.sif", "EMPTY": tmp_path / "empty"}
    made["TEXT"].write_text("not an image")
    made["EMPTY"].mkdir()
    if changes.get("image") == "CUT":
        with images.sif.open("rb") as stream:
            made["CUT"].write_bytes(stream.read(50_000_000))
    given = {key: str(made.get(value, value)) for key, value in changes.items()}
    told = checked(contained("slurm", images, testbed, **given), tmp_path)
    assert told.code == 58, told.output + told.told
    assert words in told.output, told.output


# --- what gets in and out -------------------------------------------------------------------------------------------
SPY = """\
import json
import os
import pathlib
import socket


def refused(action):
    try:
        action()
    except OSError as error:
        return type(error).__name__
    return ""


def build(inputs, outputs):
    print("SPY " + json.dumps({
        "environment": dict(os.environ),
        "writes": {path: refused(lambda: pathlib.Path(path, "x").write_text("x")) for path in WRITES},
        "reads": {path: refused(lambda: os.stat(path)) for path in READS},
        "network": refused(lambda: socket.create_connection(("127.0.0.1", PORT), timeout=2)),
    }))
    raise ValueError("seen enough")
"""


@pytest.fixture
def port() -> Iterator[int]:
    """A port of this machine on which somebody listens."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("form", ["docker", "sif"])
def test_nothing_leaks_in_or_out(form: str, tth: Path, images: Images, tmp_path: Path, port: int) -> None:
    """The user's own code, in a hostile environment, sees its work folder and its files, and changes nothing else."""
    folder = tmp_path / "project"
    folder.mkdir()
    data = tth.parent / "data"
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    writes = ["/etc", "/usr", "/opt/gridloom", "/home", str(folder), str(data)]
    reads = [str(secret), str(tth.parent / "sites.yaml")]
    spy = SPY.replace("WRITES", repr(writes)).replace("READS", repr(reads)).replace("PORT", str(port))
    (folder / "spy.py").write_text(spy)
    text = (
        tth.read_text().replace("data/", f"{data}/").replace("model:\n  name: mlp\n", "model: {function: spy:build}\n")
    )
    assert "spy:build" in text
    (folder / "analysis.yaml").write_text(text)
    hostile = {
        "GRIDLOOM_TEST_SECRET": "s3cret",
        "APPTAINER_BIND": str(secret),
        "APPTAINERENV_EVIL": "evil",
        "SINGULARITYENV_EVIL": "evil",
        "APPTAINERENV_LD_PRELOAD": "/evil.so",
        "LD_PRELOAD": "",
        "BEARER_TOKEN": "t0ken",
        "KERAS_HOME": "/evil",
        "PYTHONSTARTUP": "/evil.py",
    }
    done = subprocess.run(
        command("run", folder / "analysis.yaml", "--runs", tmp_path / "runs", "--image", str(getattr(images, form))),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**environment(), **hostile},
    )
    assert done.returncode == 40, done.stderr
    assert "seen enough" in done.stderr
    assert f"{folder}/analysis.yaml:" in done.stderr
    logs = [path.read_text() for path in (tmp_path / "runs").glob("*/logs/*/output.log")]
    (seen, *_) = [json.loads(line[4:]) for log in logs for line in log.splitlines() if line.startswith("SPY ")]
    assert all(seen["writes"].values()), seen["writes"]
    assert all(seen["reads"].values()), seen["reads"]
    assert seen["network"]
    values = json.dumps(seen["environment"])
    assert not any(word in values for word in ("s3cret", "t0ken", "evil")), values
    assert not list(folder.glob("x"))


def test_code_that_writes_elsewhere_is_told_where_it_may(tth: Path, images: Images, tmp_path: Path) -> None:
    code = "import pathlib\n\n\ndef build(inputs, outputs):\n    pathlib.Path('/opt/mine').write_text('x')\n"
    (tmp_path / "mine.py").write_text(code)
    text = tth.read_text().replace("data/", f"{tth.parent / 'data'}/")
    own = text.replace("model:\n  name: mlp\n", "model: {function: mine:build}\n")
    (tmp_path / "analysis.yaml").write_text(own)
    told = answer_of(command("run", "analysis.yaml", "--image", images.sif, "--jobs", "1"), tmp_path)
    assert told.code == 40, told.told
    assert "Read-only file system: '/opt/mine'" in told.told
    assert "In a container only /tmp and the work folder can be written" in told.told


# --- ends -----------------------------------------------------------------------------------------------------------
def containers() -> list[str]:
    done = subprocess.run(
        ["docker", "ps", "--quiet", "--filter", "name=gridloom-"], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_docker_containers_end_with_a_driver_that_is_killed(tth: Path, images: Images, tmp_path: Path) -> None:
    """A daemon runs them, so nothing ends them but the end of their input."""
    process = start(tth, tmp_path / "runs", "--image", images.docker)
    until(lambda: bool(containers()), 60)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    until(lambda: not containers(), 60)


def test_a_work_folder_that_cannot_be_written(tth: Path, images: Images, tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", str(folder)], check=True)
    try:
        told = answer_of(command("run", tth, "--runs", folder, "--image", images.sif), tmp_path)
    finally:
        subprocess.run(["umount", str(folder)], check=True)
    assert told.code == 56, told.told
    assert "Read-only file system" in told.told
