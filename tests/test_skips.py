"""No test is skipped where the environment says that none may be."""

import subprocess
import sys
from pathlib import Path

SKIPPING = "import pytest\n\ndef test_good(): pass\n\n"
RUNS = [
    # tests                                                         | exit status: without, with
    (SKIPPING,                                                        0, 0),
    (SKIPPING + "def test_skipped(): pytest.skip('why')\n",           0, 1),
    (SKIPPING + "@pytest.mark.skip\ndef test_skipped(): pass\n",      0, 1),
    (SKIPPING + "@pytest.mark.xfail\ndef test_known(): assert 0\n",   0, 0),
    (SKIPPING + "def test_bad(): assert 0\n",                         1, 1),
]  # fmt: skip


def test_a_skip_fails_the_session_where_the_environment_forbids_skips(
    tmp_path: Path, command_env: dict[str, str]
) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    for n, (source, *_) in enumerate(RUNS):
        (tmp_path / f"test_{n}.py").write_text(source)
    program = (
        "import os, pytest, sys\n"
        "import tests.conftest as plugin\n"
        "for forbid in ('', '1'):\n"
        "    os.environ['RATER_TEST_NO_SKIPS'] = forbid\n"
        "    for name in sys.argv[1:]:\n"
        "        plugin._skipped.clear()\n"
        "        status = pytest.main(['-q', '-p', 'no:cacheprovider', name], [plugin])\n"
        "        print('status', int(status))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *(f"test_{n}.py" for n in range(len(RUNS)))],
        cwd=tmp_path,
        env=command_env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    statuses = [int(x.split()[1]) for x in done.stdout.splitlines() if x.startswith("status")]
    assert statuses == [run[1] for run in RUNS] + [run[2] for run in RUNS], done.stderr
    says = "FAILED: 1 skipped, and RATER_TEST_NO_SKIPS allows none: test_"
    assert [x for x in done.stdout.splitlines() if x.startswith("FAILED: 1 skipped")] == [
        f"{says}{n}.py::test_skipped" for n in (1, 2)
    ]
