"""Credentials that jobs may take along: X.509 proxies and bearer tokens, and how long they last.

Found as WLCG says (bearer-token discovery). Only the end of a credential is read; what it says itself is never shown,
logged or put into an error.
"""

from __future__ import annotations

import base64
import binascii
import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_TEMPORARY = Path("/tmp")  # noqa: S108 - where the grid's tools put them


@dataclass(frozen=True, kw_only=True)
class Credential:
    """A credential by its place, and when it ends (seconds since 1970; None if that cannot be read)."""

    kind: str
    place: str
    ends: float | None


def credentials(environ: Mapping[str, str], user: int, temporary: Path = _TEMPORARY) -> tuple[Credential, ...]:
    """The credentials that a job of this user would find."""
    return (*_proxies(environ, user, temporary), *_tokens(environ, user, temporary))


def _proxies(environ: Mapping[str, str], user: int, temporary: Path) -> Iterator[Credential]:
    path = Path(environ.get("X509_USER_PROXY") or temporary / f"x509up_u{user}")
    if path.is_file():
        yield Credential(kind="proxy", place=str(path), ends=_end_of_certificate(path))


def _end_of_certificate(path: Path) -> float | None:
    command = ["openssl", "x509", "-noout", "-enddate", "-in", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        text = done.stdout.strip().removeprefix("notAfter=")
        return datetime.strptime(text, "%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC).timestamp()
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def _tokens(environ: Mapping[str, str], user: int, temporary: Path) -> Iterator[Credential]:
    """The first token in the order of the discovery: it is the one that tools use."""
    if environ.get("BEARER_TOKEN", "").strip():
        yield _token(environ["BEARER_TOKEN"], "$BEARER_TOKEN")
        return
    named = environ.get("BEARER_TOKEN_FILE", "")
    folders = [Path(environ["XDG_RUNTIME_DIR"])] if environ.get("XDG_RUNTIME_DIR") else []
    candidates = [Path(named)] if named else [folder / f"bt_u{user}" for folder in (*folders, temporary)]
    for path in candidates:
        text = _text(path)
        if text.strip():
            yield _token(text, str(path))
            return


def _token(text: str, place: str) -> Credential:
    return Credential(kind="token", place=place, ends=_end_of_token(text.strip()))


def _end_of_token(text: str) -> float | None:
    """`exp` of a JWT's payload; the signature is for the servers to check."""
    parts = text.split(".")
    if len(parts) != 3:
        return None
    try:
        payload = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError):
        return None
    end = payload.get("exp") if isinstance(payload, dict) else None
    return float(end) if isinstance(end, int | float) and not isinstance(end, bool) else None


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
