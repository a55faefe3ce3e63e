"""Tiny kinds of tasks for tests of engines and drivers: `--kinds gridloom.testing.kinds:TINY`.

What a task does is its parameter `do`; further parameters make ids differ.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable

from gridloom.errors import EmptyClass, Interrupted, Problems, UnknownKey
from gridloom.task import Context, Progress

_STEP = 0.02  # seconds


def run(context: Context) -> None:
    """Do what `do` says, then write `value.txt`: the label and what the inputs wrote."""
    _DEEDS[str(context.task.parameters.get("do", "write"))](context)
    before = [(folder / "value.txt").read_text() for folder in context.inputs.values()]
    (context.output / "value.txt").write_text("".join([*before, context.task.label, "\n"]))
    if context.task.kind == "report":
        (context.output / "index.html").write_text("<!doctype html><title>report</title>\n")


def _nothing(_: Context) -> None:
    """Only write."""


def _steps(context: Context) -> None:
    """Count to `steps` in the scratch folder, one save per step; goes on from there, and stops when asked."""
    _count_to(context, int(str(context.task.parameters.get("steps", 10))))


def _count_to(context: Context, steps: int) -> None:
    count = context.scratch / "count"
    number = int(count.read_text()) if count.exists() else 0
    (context.output / "first.txt").write_text(str(number))
    while number < steps:
        if context.stop():
            raise Interrupted(f"saved at step {number}", where=context.task.label)
        time.sleep(_STEP)
        number += 1
        fresh = count.with_name("fresh")
        fresh.write_text(str(number))
        fresh.replace(count)
        context.progress(Progress(done=number, total=steps, text="counting", values={"loss": 1 / number}))


def _print(context: Context) -> None:
    """Print in every way there is, and try to read what is not ours."""
    print("from Python")  # noqa: T201
    sys.stderr.write("from standard error\n")
    os.write(1, b"from a compiled library\n")
    (context.output / "read.txt").write_text(sys.stdin.read())


def _threads(context: Context) -> None:
    """Write how many threads numerical libraries may use."""
    (context.output / "threads.txt").write_text(os.environ.get("OMP_NUM_THREADS", ""))


def _fail(context: Context) -> None:
    raise EmptyClass("class `s` has no events", where=context.task.label, fix="Loosen the cut.", key=("samples",))


def _fail_twice(_: Context) -> None:
    raise Problems([UnknownKey("unknown key `a`"), UnknownKey("unknown key `b`")])


def _crash(_: Context) -> None:
    raise ValueError("the unforeseen")


def _leave(_: Context) -> None:
    sys.exit(3)


def _end(_: Context) -> None:
    """End as a library does that calls exit()."""
    os.write(2, b"last words\n")
    os._exit(3)


def _die_once(context: Context) -> None:
    """Be killed in the first attempt."""
    mark = context.scratch / "died"
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def _die(_: Context) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _hang(_: Context) -> None:
    """Listen to nobody."""
    time.sleep(60)


def _no_memory(_: Context) -> None:
    raise MemoryError


def _full(_: Context) -> None:
    raise OSError(28, "No space left on device")


def _full_once(context: Context) -> None:
    """Find the disk full in the first attempt."""
    mark = context.scratch / "full"
    if not mark.exists():
        mark.touch()
        raise OSError(28, "No space left on device")


def _grow(_: Context) -> None:
    """Hold 300 MB for some seconds."""
    held = bytearray(os.urandom(1_000_000) * 300)
    time.sleep(12)
    del held


def _environment(context: Context) -> None:
    """Write the environment's variables."""
    text = "".join(
        f"{name}={value!r}\n" if "\n" in value else f"{name}={value}\n" for name, value in os.environ.items()
    )
    (context.output / "environment.txt").write_text(text)


_DEEDS: dict[str, Callable[[Context], None]] = {
    "write": _nothing,
    "steps": _steps,
    "print": _print,
    "threads": _threads,
    "fail": _fail,
    "fail twice": _fail_twice,
    "crash": _crash,
    "leave": _leave,
    "end": _end,
    "die once": _die_once,
    "die": _die,
    "hang": _hang,
    "no memory": _no_memory,
    "full": _full,
    "full once": _full_once,
    "grow": _grow,
    "environment": _environment,
}


def run_slowly(context: Context) -> None:
    """Count for a minute, saving every step, before doing what the task says."""
    _count_to(context, 3000)
    run(context)


TINY: dict[str, str] = dict.fromkeys(("prepare", "tune", "train", "reference", "evaluate", "report"), f"{__name__}:run")
SLOW: dict[str, str] = dict.fromkeys(TINY, f"{__name__}:run_slowly")
BROKEN: dict[str, str] = dict.fromkeys(TINY, "no_such_library:run")
