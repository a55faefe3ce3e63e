"""The published hash: vectors, the C++ header, uniformity."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gridloom.data.folds
from gridloom.data.folds import fold_of, hash_of, uuid_word

PACKAGE = Path(gridloom.data.folds.__file__).parent
VECTORS: list[dict[str, Any]] = json.loads((PACKAGE / "fold_vectors.json").read_text())
WORD = st.integers(min_value=0, max_value=2**64 - 1)


def words(vector: dict[str, Any]) -> list[int]:
    return [int(word, 16) for word in vector["id"]]


def test_vectors_are_reproduced() -> None:
    ids = np.array([words(vector) for vector in VECTORS], dtype=np.uint64)
    assert [hex(int(value)) for value in hash_of(ids)] == [vector["hash"] for vector in VECTORS]
    for k in (3, 4, 5, 7, 10, 100):
        assert fold_of(ids, k).tolist() == [vector["folds"][str(k)] for vector in VECTORS]


def test_published_page_shows_the_vectors() -> None:
    page = (PACKAGE.parents[2] / "docs" / "reference" / "folds.md").read_text()
    for vector in VECTORS[:7]:
        first, second, third = words(vector)
        line = f"| {first} | {second} | {third} | {int(vector['hash'], 16):#018x} |"
        assert line in page


def test_header_agrees_with_the_vectors(tmp_path: Path) -> None:
    compiler = shutil.which("g++") or shutil.which("c++") or shutil.which("clang++")
    if compiler is None:
        if os.environ.get("CI"):
            pytest.fail("no C++ compiler: the header is not checked")
        pytest.skip("no C++ compiler: the header is not checked")
    lines = [
        '    std::printf("%016llx %d %d\\n", (unsigned long long)gridloom::hash({0}ULL, {1}ULL, {2}ULL), '
        "gridloom::fold({0}ULL, {1}ULL, {2}ULL, 3), gridloom::fold({0}ULL, {1}ULL, {2}ULL, 10));".replace("{0}", a)
        .replace("{1}", b)
        .replace("{2}", c)
        for a, b, c in (vector["id"] for vector in VECTORS)
    ]
    source = tmp_path / "vectors.cpp"
    source.write_text('#include <cstdio>\n#include "fold.hpp"\nint main() {\n' + "\n".join(lines) + "\n}\n")
    program = tmp_path / "vectors"
    command = [compiler, "-std=c++11", "-Wall", "-Wextra", "-Werror", f"-I{PACKAGE}", str(source), "-o", str(program)]
    subprocess.run(command, check=True)
    printed = subprocess.run([str(program)], check=True, capture_output=True, text=True).stdout.splitlines()
    expected = [f"{int(vector['hash'], 16):016x} {vector['folds']['3']} {vector['folds']['10']}" for vector in VECTORS]
    assert printed == expected


@given(st.lists(st.tuples(WORD, WORD, WORD), min_size=1, max_size=20), st.integers(3, 100))
def test_fold_depends_on_the_id_alone(events: list[tuple[int, int, int]], k: int) -> None:
    ids = np.array(events, dtype=np.uint64)
    folds = fold_of(ids, k)
    assert folds.dtype == np.int16
    assert fold_of(ids[::-1], k).tolist() == folds[::-1].tolist()
    assert all(0 <= fold < k for fold in folds)


@pytest.mark.parametrize("step", [1, 2, 5, 1000])
def test_folds_are_uniform_for_regular_event_numbers(step: int) -> None:
    events = 50_000
    ids = np.zeros((events, 3), dtype=np.uint64)
    ids[:, 0] = 1
    ids[:, 1] = np.arange(events) // 200
    ids[:, 2] = np.arange(events) * step
    for k in (3, 5, 10):
        counts = np.bincount(fold_of(ids, k), minlength=k)
        expected = events / k
        chi_squared = float(((counts - expected) ** 2 / expected).sum())
        assert chi_squared < k - 1 + 5 * np.sqrt(2 * (k - 1))


def test_events_of_a_block_never_collide() -> None:
    ids = np.zeros((100_000, 3), dtype=np.uint64)
    ids[:, 2] = np.arange(100_000)
    assert len(np.unique(hash_of(ids))) == 100_000


def test_uuid_word_ignores_the_case() -> None:
    assert uuid_word("ABCDEF01-0000") == uuid_word("abcdef01-0000") != uuid_word("abcdef01-0001")
