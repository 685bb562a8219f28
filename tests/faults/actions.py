"""The faults, each one a function of a scene: what tests are made of, and the long run too.

A fault counts itself when it has struck, and leaves nothing broken that `Scene.heal` can't mend.
"""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from streams.base.faults import POINTS
from streams.kafka.clients import BrokerErrors
from streams.kafka.produce import send_all
from streams.kafka.simulate import Simulated
from streams.store.ledger import StoreErrors
from tests.faults.proxy import BREAKS
from tests.faults.scene import SESSION_TIMEOUT_S, Scene
from tests.support.broker import BAD
from tests.support.poison import POISONS, send
from tests.support.workers import wait_for

OUTLIVES_SESSION_S = SESSION_TIMEOUT_S + 3
MOMENT_S = 60.0
RENAMES = "rename,renameat,renameat2"
RUBBISH = 3_000  # records
CONNECTIONS = 400
SYNCS = "fsync,fdatasync"


def kill_worker(scene: Scene) -> None:
    """kill -9, whatever it does just now."""
    scene.fleet.kill(scene.chance.choice(scene.fleet.names()))
    scene.injected["worker killed"] += 1


def kill_at_point(scene: Scene) -> None:
    """kill -9, and its follower kills itself at a named point."""
    name, point = scene.chance.choice(scene.fleet.names()), scene.chance.choice(POINTS)
    deaths = len(scene.fleet.ended(name))
    scene.fleet.follow(name, f"{point}:{scene.chance.randint(1, 3)}")
    scene.fleet.kill(name)
    scene.fleet.wait_for_deaths(name, deaths + 2, 90)
    scene.injected[f"killed {point}"] += 1


def freeze_worker(scene: Scene) -> None:
    """SIGSTOP for longer than the group waits; then it goes on, a zombie."""
    name = scene.chance.choice(scene.fleet.names())
    scene.fleet.freeze(name)
    time.sleep(OUTLIVES_SESSION_S)
    scene.fleet.wake(name)
    scene.injected["worker frozen"] += 1


def join_and_leave(scene: Scene) -> None:
    """One more worker for a few seconds, ready or not."""
    name = f"guest-{scene.injected['joined and left']}"
    scene.fleet.add(name)
    scene.pause(2, 8)
    scene.fleet.remove(name)
    scene.injected["joined and left"] += 1


def break_inserts(scene: Scene) -> None:
    """The next inserts are reset, cut off, stalled or refused, in any order."""
    broken = [*BREAKS, *scene.chance.choices(BREAKS, k=2)]
    scene.chance.shuffle(broken)
    before = scene.proxy.broken.copy()
    scene.proxy.break_next(*broken)
    wait_for(lambda: not scene.proxy.left(), "every break has struck", 90)
    for name, count in (scene.proxy.broken - before).items():
        scene.injected[f"insert: {name}"] += count


def kill_store(scene: Scene) -> None:
    """kill -9 of the store's process, and a new one on its data."""
    scene.store.kill()
    scene.pause(0, 2)
    scene.store.start()
    scene.injected["store killed"] += 1


def kill_broker(scene: Scene) -> None:
    """kill -9 of the broker, and a new one on its data; commits fail meanwhile."""
    scene.broker.kill()
    scene.pause(0, 3)
    scene.broker.start()
    scene.injected["broker killed"] += 1


def freeze_broker(scene: Scene, most_s: float = 60) -> None:
    """SIGSTOP of the broker: commits fail and heartbeats go unanswered, for up to a minute."""
    pid = scene.broker.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        scene.pause(most_s / 4, most_s)
    finally:
        os.kill(pid, signal.SIGCONT)
    scene.injected["broker frozen"] += 1


def kill_at_worst_moment(scene: Scene) -> None:
    """SIGKILL to every worker at work, just when rows are stored and not yet committed."""
    for name in _workers_at_worst_moment(scene):
        scene.fleet.kill(name)
    scene.injected["killed before the commit"] += 1


def terminate_at_worst_moment(scene: Scene) -> None:
    """SIGTERM to every worker at work, at the same moment."""
    for name in _workers_at_worst_moment(scene):
        scene.fleet.terminate(name)
    scene.injected["told to stop before the commit"] += 1


def _workers_at_worst_moment(scene: Scene) -> list[str]:
    """Waits for rows that are stored and not committed; the workers that are at work then."""
    wait_for(scene.fleet.ready, "a worker at work", 90)
    workers = scene.fleet.ready()
    ledger = scene.ledger()
    try:
        give_up_at = time.monotonic() + MOMENT_S
        while time.monotonic() < give_up_at:
            with suppress(*StoreErrors, *BrokerErrors):
                if scene.stored_beyond_committed(ledger):
                    return workers
        raise AssertionError(f"no row was seen before its commit in {MOMENT_S} s")
    finally:
        ledger.close()


def break_disk(scene: Scene) -> None:
    """Every few renames and fsyncs of the store fail for some seconds of its work."""
    wait_for(scene.fleet.ready, "a worker at work", 90)
    assert scene.store.pid is not None
    trace = scene.store.path.with_name("strace.txt")
    command = ["strace", "-f", "-qq", "-o", str(trace), "-p", str(scene.store.pid)]
    command += ["-e", f"trace={RENAMES},{SYNCS}"]
    command += ["-e", f"inject={RENAMES}:error=ENOSPC:when=3+7"]
    command += ["-e", f"inject={SYNCS}:error=EIO:when=5+9"]
    with subprocess.Popen(command) as strace:
        try:
            scene.pause(4, 6)
            wait_for(lambda: "(INJECTED)" in trace.read_text(), "a call of the store failed")
        finally:
            strace.terminate()
    _count_injected(scene, trace)


def _count_injected(scene: Scene, trace: Path) -> None:
    lines = [line for line in trace.read_text().splitlines() if "(INJECTED)" in line]
    syncs = sum("sync(" in line for line in lines)
    scene.injected["fsync failed"] += syncs
    scene.injected["rename failed"] += len(lines) - syncs


def plant_poisons(scene: Scene, count: int) -> None:
    """Records and batches that are made to stop whoever reads them; no kind twice."""
    for name, how, values in scene.chance.sample(POISONS, min(count, len(POISONS))):
        partition = scene.chance.randrange(scene.settings.topic_partitions)
        asyncio.run(send(scene.settings, "usage.call.v1", partition, *values, **how))
        scene.injected[f"poison: {name}"] += 1


def flood_with_rubbish(scene: Scene) -> None:
    """Some thousand records at once that are no events, all of one account."""
    rubbish = scene.chance.choices([value for value in BAD if value], k=RUBBISH)
    sent = [Simulated("call", "flood", value) for value in rubbish]
    asyncio.run(send_all(scene.settings, sent))
    scene.injected["flood of rubbish"] += 1


def flood_a_door(scene: Scene) -> None:
    """Connections to a worker's door that begin a request and never end it."""
    port = scene.fleet.worker(scene.chance.choice(scene.fleet.names())).port
    with ExitStack() as opened:
        for _ in range(CONNECTIONS):
            with suppress(OSError):  # it may be dead just now, or have enough of them
                one = opened.enter_context(socket.create_connection(("127.0.0.1", port), 1))
                one.send(b"GET /metrics HTTP/1.1\r\n")
        scene.pause(2, 4)
    scene.injected["flood of a door"] += 1


STRACE = shutil.which("strace")
FAULTS: dict[str, Callable[[Scene], None]] = {
    fault.__name__: fault
    for fault in (
        kill_worker,
        kill_at_point,
        freeze_worker,
        join_and_leave,
        break_inserts,
        kill_store,
        kill_broker,
        freeze_broker,
        kill_at_worst_moment,
        terminate_at_worst_moment,
        flood_with_rubbish,
        flood_a_door,
        *([break_disk] if STRACE else []),
    )
}
