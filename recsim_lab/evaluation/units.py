"""Work in units, each with a result file of its own: several processes share it, and a killed run goes on."""

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from recsim_lab.evaluation.run_folder import RunFolder, differing

Unit = TypeVar("Unit")


def safe_name(name: str) -> str:
    """A name that every file system takes."""
    return "".join(c if c.isalnum() or c in "=.-" else "_" for c in name)


def claim(folder: Path, plan: Any, axes: Sequence[str] = ()) -> None:
    """Write the plan, a dataclass, beside its results, or see that it is theirs.

    `axes` are fields that say which units there are and not what they are: they may change, and what was done stays.

    Raises:
        ValueError: if the folder holds the results of another plan.
    """
    content = json.loads(json.dumps(asdict(plan)))
    file = folder / "plan.json"
    changed = differing(json.loads(file.read_text()), content) if file.exists() else list(axes)
    if set(changed) <= set(axes):
        RunFolder(folder).write_text(file.name, json.dumps(content, indent=2))
    elif changed := [name for name in changed if name not in axes]:
        raise ValueError(
            f"{folder} holds a study of another plan (different: {', '.join(changed)}); "
            "use another folder, or delete that one"
        )


def finished(units: Sequence[Unit], run: Callable[[Unit], None], num_workers: int) -> Iterable[Unit]:
    """Run the units and name each as it is finished; `run` can be pickled.

    Workers are spawned, with one Numba and one torch thread each.
    """
    if num_workers <= 1 or len(units) <= 1:
        for unit in units:
            run(unit)
            yield unit
        return
    context = multiprocessing.get_context("spawn")
    threads = {name: "1" for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    before = {name: os.environ.get(name) for name in threads}
    os.environ.update(threads)  # read by the workers when they start
    pool = ProcessPoolExecutor(num_workers, mp_context=context, initializer=_end_with_parent)
    try:
        waiting = {pool.submit(run, unit): unit for unit in units}
        for future in as_completed(waiting):
            future.result()
            yield waiting[future]
    except KeyboardInterrupt:
        for worker in multiprocessing.active_children():
            worker.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)  # after an error, the rest need not be run first
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _end_with_parent() -> None:
    """A worker must not outlive a killed run: it would write beside the one that goes on. Interrupts are the run's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        parent = multiprocessing.parent_process()
        assert parent is not None
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
