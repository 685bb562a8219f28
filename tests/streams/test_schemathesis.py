"""The API by its own document: a tool that knows nothing else asks whatever the document allows."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.streams.test_web import Served, filled_ledger

schemathesis = pytest.importorskip("schemathesis")
checks = pytest.importorskip("schemathesis.checks")
conform = pytest.importorskip("schemathesis.specs.openapi.checks")


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with filled_ledger(tmp_path_factory.mktemp("schemathesis") / "store") as filled:
        filled.call(datetime.now(UTC), id="0", account_id="0")  # the first that it thinks of
        with Served(filled) as served:
            yield schemathesis.openapi.from_url(f"{served.url}/openapi.json")


def test_an_answer_is_of_the_document_and_never_a_fault(document: Any) -> None:
    # Its own way to parametrize a test does not know this pytest.
    operations = [found.ok() for found in document.get_all_operations()]
    asked = [operation for operation in operations if not operation.path.endswith("/live")]
    assert len(asked) == len(operations) - 1
    for operation in asked:

        @given(case=operation.as_strategy())
        @settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
        def ask(case: Any) -> None:
            case.call_and_validate(
                checks=[
                    checks.not_a_server_error,
                    conform.status_code_conformance,
                    conform.content_type_conformance,
                    conform.response_schema_conformance,
                ]
            )

        ask()
