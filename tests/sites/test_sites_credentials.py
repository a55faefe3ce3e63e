"""Credentials are found as WLCG says; only their end is read, and nothing of them is shown."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from gridloom.sites.credentials import credentials

SECRET = "c2VjcmV0"


def token(payload: object) -> str:
    body = base64.urlsafe_b64encode(json.dumps(payload).encode()).decode().rstrip("=")
    return f"{SECRET}.{body}.{SECRET}"


def write(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def test_there_are_none(tmp_path: Path) -> None:
    assert credentials({}, 1, tmp_path) == ()


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        (token({"exp": 2_000_000_000}), 2e9),
        (token({"exp": "soon"}), None),
        (token({"exp": True}), None),
        (token({}), None),
        (token([1]), None),
        ("opaque", None),
        (f"{SECRET}.###.{SECRET}", None),
        (f"{SECRET}.YQ.{SECRET}", None),
    ],
)
def test_ends_of_tokens(tmp_path: Path, text: str, ends: float | None) -> None:
    (found,) = credentials({"BEARER_TOKEN": f" {text}\n"}, 1, tmp_path)
    assert (found.kind, found.place, found.ends) == ("token", "$BEARER_TOKEN", ends)
    assert SECRET not in repr(found)


def test_the_order_of_the_discovery(tmp_path: Path) -> None:
    run, temporary = tmp_path / "run", tmp_path / "tmp"
    in_tmp = write(temporary / "bt_u7", token({"exp": 1}))
    environ: dict[str, str] = {}
    assert [found.place for found in credentials(environ, 7, temporary)] == [in_tmp]
    environ["XDG_RUNTIME_DIR"] = str(run)
    assert [found.place for found in credentials(environ, 7, temporary)] == [in_tmp]
    in_run = write(run / "bt_u7", token({"exp": 2}))
    assert [found.place for found in credentials(environ, 7, temporary)] == [in_run]
    environ["BEARER_TOKEN_FILE"] = str(tmp_path / "missing")
    assert credentials(environ, 7, temporary) == ()
    environ["BEARER_TOKEN_FILE"] = write(tmp_path / "named", token({"exp": 3}))
    assert [found.ends for found in credentials(environ, 7, temporary)] == [3.0]
    environ["BEARER_TOKEN"] = token({"exp": 4})
    assert [found.ends for found in credentials(environ, 7, temporary)] == [4.0]


def test_the_end_of_a_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "notAfter=Jan  2 03:04:05 2030 GMT\n"
    monkeypatch.setattr(subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 0, said, ""))
    place = write(tmp_path / "x509up_u5", "")
    (found,) = credentials({}, 5, tmp_path)
    assert (found.kind, found.place, found.ends) == ("proxy", place, 1893553445.0)
    other = write(tmp_path / "other", "")
    assert [found.place for found in credentials({"X509_USER_PROXY": other}, 5, tmp_path)] == [other]


@pytest.mark.parametrize("said", ["", "notAfter=never"])
def test_a_proxy_whose_end_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setattr(subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 0, said, ""))
    write(tmp_path / "x509up_u5", "no certificate")
    assert [found.ends for found in credentials({}, 5, tmp_path)] == [None]


def test_without_openssl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    write(tmp_path / "x509up_u5", "")
    assert [found.ends for found in credentials({}, 5, tmp_path)] == [None]


def test_a_real_certificate(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        assert credentials({}, 5, tmp_path) == ()
        return
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-days", "2"]
    place = str(tmp_path / "x509up_u5")
    subprocess.run([*command, "-keyout", place + ".key", "-out", place], check=True, capture_output=True)
    (found,) = credentials({}, 5, tmp_path)
    assert found.ends == pytest.approx(time.time() + 2 * 86_400, abs=60)
