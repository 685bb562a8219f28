"""The named points: one ends the process when its turn has come, and never otherwise."""

import signal
import subprocess
import sys

import pytest

from streams.base.faults import POINTS
from streams.base.settings import SettingsError, load_settings
from tests.support.workers import ROOT

PROGRAM = """
import sys
from streams.base import faults
faults.arm(sys.argv[1])
for point in sys.argv[2].split(","):
    faults.reach(point)
    print(point, flush=True)
"""

REACHED = [
    # armed            reached                                    | passed  status
    ("",               "before_insert,in_insert,after_insert",      3,      0),
    ("in_insert:1",    "before_insert,in_insert,after_insert",      1,      -signal.SIGKILL),
    ("in_insert:2",    "in_insert,before_insert,in_insert",         2,      -signal.SIGKILL),
    ("in_insert:3",    "in_insert,in_insert",                       2,      0),
]  # fmt: skip


@pytest.mark.parametrize(("armed", "reached", "passed", "status"), REACHED)
def test_a_point_ends_the_process_when_its_turn_has_come(
    armed: str, reached: str, passed: int, status: int
) -> None:
    command = [sys.executable, "-c", PROGRAM, armed, reached]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (len(done.stdout.split()), done.returncode) == (passed, status), done.stderr


@pytest.mark.parametrize("point", POINTS)
def test_a_fault_is_a_point_and_how_many_times_and_whether_it_only_stops(point: str) -> None:
    for fault in (f"{point}:1", f"{point}:20:stop"):
        assert load_settings(fault=fault).fault == fault


@pytest.mark.parametrize("fault", ["in_insert", "in_insert:0", "nowhere:1", "in_insert:1:go"])
def test_a_fault_that_is_none_is_refused(fault: str) -> None:
    with pytest.raises(SettingsError, match="RATER_FAULT"):
        load_settings(fault=fault)
