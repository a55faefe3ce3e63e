"""Bundles hold every job once and in order; batches are read again after a kill."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from batch_jobs import full_jobs, job
from hypothesis import given, settings
from hypothesis import strategies as st

from gridloom.assignment import Assignment
from gridloom.engines import batches
from gridloom.engines.batches import bundled, read_batches, read_id, write_id
from gridloom.task import Resources


@st.composite
def assignments(draw: st.DrawFn) -> list[Assignment]:
    """Jobs of a few different needs."""
    needs = st.tuples(st.integers(1, 3), st.sampled_from([(), ("node1",), ("node1", "node2")]), st.sampled_from("xy"))
    return [
        job(f"t{number}", resources=Resources(cores=cores), avoid=avoid, store=f"/{store}")
        for number, (cores, avoid, store) in enumerate(draw(st.lists(needs, max_size=30)))
    ]


@settings(max_examples=100, deadline=None)
@given(jobs=assignments(), at_most=st.integers(1, 7))
def test_every_job_is_in_one_bundle_of_its_needs(jobs: list[Assignment], at_most: int) -> None:
    bundles = list(bundled(jobs, at_most=at_most, engine="slurm"))
    tokens = [one.token for bundle in bundles for one in bundle.assignments]
    assert sorted(tokens) == sorted(one.token for one in jobs)
    for bundle in bundles:
        assert 1 <= len(bundle.assignments) <= at_most
        assert {(one.task.resources, one.avoid, one.store) for one in bundle.assignments} == {
            (bundle.resources, bundle.avoid, bundle.batch.store)
        }
        assert [entry.token for entry in bundle.batch.jobs] == [one.token for one in bundle.assignments]
        assert [entry.folder for entry in bundle.batch.jobs] == [one.folder for one in bundle.assignments]
        numbers = [int(one.token[1:]) for one in bundle.assignments]
        assert all(first < second for first, second in pairwise(numbers))
    assert len({bundle.batch.token for bundle in bundles}) == len(bundles)
    # No more bundles than it takes.
    groups: dict[object, int] = {}
    for one in jobs:
        key = (one.task.resources, one.avoid, one.store)
        groups[key] = groups.get(key, 0) + 1
    assert len(bundles) == sum(-(-number // at_most) for number in groups.values())


def test_a_batch_is_read_as_it_was_written(tmp_path: Path) -> None:
    bundles = list(bundled(full_jobs(), at_most=10, engine="slurm"))
    assert len(bundles) == 2
    for bundle in bundles:
        folder = tmp_path / bundle.batch.folder
        folder.mkdir()
        (folder / batches.FILE).write_text(bundle.batch.model_dump_json(indent=1))
    assert {one.token: one for one in read_batches(tmp_path, "slurm")} == {
        one.batch.token: one.batch for one in bundles
    }
    (first,) = (one.batch for one in bundles if len(one.batch.jobs) == 2)
    assert (first.jobs[0].memory_mb, first.jobs[0].task) == (6000, full_jobs()[0].task.id)
    assert read_id(tmp_path, first) == ""
    write_id(tmp_path, first, "1234")
    assert read_id(tmp_path, first) == "1234"


def test_what_a_kill_left_unfinished_is_passed_over(tmp_path: Path) -> None:
    (whole, *_) = bundled(full_jobs(), at_most=10, engine="slurm")
    for name, text in (("a", ""), ("b", whole.batch.model_dump_json()[:-2]), ("c", whole.batch.model_dump_json())):
        (tmp_path / f"batch-{name}").mkdir()
        (tmp_path / f"batch-{name}" / batches.FILE).write_text(text)
    (tmp_path / "batch-d").mkdir()
    (tmp_path / "batch-e" / batches.FILE).mkdir(parents=True)
    assert list(read_batches(tmp_path, "slurm")) == [whole.batch]
    assert list(read_batches(tmp_path / "nowhere", "slurm")) == []
    # A run may have been done elsewhere before: that is for the other engine to read.
    assert list(read_batches(tmp_path, "htcondor")) == []
