"""The library is light to import: what is heavy is loaded by those who use it."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "pandas", "numba", "seaborn", "matplotlib", "pyarrow", "scipy", "simpy", "minari", "agents")


def _run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def test_importing_the_library_loads_nothing_heavy() -> None:
    code = f"""
import time
start = time.perf_counter()
import recsim_lab
seconds = time.perf_counter() - start
import sys
print(seconds, *sorted(set(sys.modules) & set({HEAVY})))
"""
    seconds, *loaded = _run(code).split()
    print(f"import recsim_lab took {float(seconds):.3f} s")
    assert loaded == []


def test_importing_the_library_registers_the_environments() -> None:
    code = "import gymnasium, recsim_lab; print(sum(name.startswith('recsim_lab/') for name in gymnasium.registry))"
    assert int(_run(code)) >= 7


@pytest.mark.parametrize(
    "module",
    [
        "recsim_lab.policy",
        "recsim_lab.interaction_log",
        "recsim_lab.envs.slate_vector_env",
        "recsim_lab.envs.wrappers",
        "recsim_lab.envs.minari_data",
        "recsim_lab.platform",
        "recsim_lab.evaluation.study",
        "recsim_lab.simulation.presets.everyday",
    ],
)
def test_the_library_runs_without_torch_and_draws_only_on_request(module: str) -> None:
    code = (
        f"import sys, {module}; print(*sorted(set(sys.modules) & {{'torch', 'seaborn', 'pandas', 'minari', 'agents'}}))"
    )
    assert _run(code).split() == []
