"""The API's document is true: each answer is what its schema says, whatever is asked."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.streams.test_web import MONTH, Filled, Served, filled_ledger

AT = datetime(2026, 1, 10, 15, tzinfo=UTC)
Document = dict[str, Any]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    with filled_ledger(tmp_path_factory.mktemp("document") / "store") as filled:
        filled.park(AT, id="waits")
        yield filled


@pytest.fixture(scope="module")
def served(filled: Filled) -> Iterator[Served]:
    with Served(filled) as served:
        yield served


@pytest.fixture(scope="module")
def document(served: Served) -> Document:
    found: Document = served.get("/openapi.json").json()
    return found


def faults(document: Document, path: str, answer: httpx.Response, method: str = "get") -> list[str]:
    """Where an answer is not what the document says of it."""
    told = document["paths"][path][method]["responses"].get(str(answer.status_code))
    if told is None:
        return [f"the document has no {answer.status_code}"]
    kind = answer.headers["content-type"].partition(";")[0]
    if kind not in told["content"]:
        return [f"the document has no {kind}"]
    if not kind.endswith("json"):
        return []
    schema = told["content"][kind]["schema"] | {"components": document["components"]}
    found = Draft202012Validator(schema).iter_errors(answer.json())
    return [f"{error.json_path}: {error.message}" for error in found]


ASKED = [
    # path                        | query                          | status
    ("usage",                       {"month": MONTH},                200),
    ("usage",                       {"month": MONTH, "by": "day,user"}, 200),
    ("usage",                       {"month": "1999-01"},            404),
    ("usage",                       {"month": "x"},                  422),
    ("usage/months",                {},                              200),
    ("events",                      {"month": MONTH},                200),
    ("events",                      {"limit": "x"},                  422),
    ("events/text-1/explain",       {},                              200),
    ("events/waits/explain",        {},                              200),
    ("events/none/explain",         {},                              404),
    ("usage.csv",                   {"month": MONTH},                200),
    ("usage.xlsx",                  {"month": "1999-01"},            404),
    ("events.parquet",              {"month": MONTH},                200),
    ("events.json",                 {"least": "x"},                  422),
    ("events.json",                 {"month": MONTH},                200),
    ("usage.json",                  {"month": MONTH},                200),
    ("budgets",                     {},                              200),
]  # fmt: skip


@pytest.mark.parametrize(("path", "query", "status"), ASKED)
def test_an_answer_is_what_the_document_says(
    served: Served, document: Document, path: str, query: dict[str, str], status: int
) -> None:
    answer = served.get(f"/v1/accounts/acme/{path}", params=query)
    assert answer.status_code == status
    parts = path.split("/")
    if parts[-1] == "explain":
        parts[1] = "{event_id}"
    assert faults(document, "/v1/accounts/{account}/" + "/".join(parts), answer) == []


def test_every_route_declares_its_answer_and_its_problems(document: Document) -> None:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            answers = operation["responses"]
            assert {"401", "403", "404", "422", "429", "503"} <= answers.keys(), path
            if method != "delete":
                (told,) = answers["200"]["content"].values()
                assert told["schema"], path
            for status in answers.keys() - {"200", "204", "304"}:
                assert list(answers[status]["content"]) == ["application/problem+json"], path


# ------------------------------------------------------------------ whatever is asked

_WORDS = st.text(max_size=40) | st.sampled_from([
    "calls", "taxes", "federal", "outbound", MONTH, "2026-01-10", "2026-01-31", "0001-01-01",
    "9999-12-31", "2148-12-31", "day", "hour,user", "1", "0", "-1", "500", "1e18", "1e-9", "0.5",
    "Infinity", "true", "W10", "AAAA", "%", "\x00", "\ud7ff",
])  # fmt: skip


@given(data=st.data())
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_whatever_is_asked_is_answered_as_the_document_says(
    served: Served, document: Document, data: st.DataObject
) -> None:
    reads = [path for path, operations in document["paths"].items() if "get" in operations]
    path = data.draw(st.sampled_from([path for path in reads if not path.endswith("/live")]))
    named = [
        one["name"] for one in document["paths"][path]["get"]["parameters"] if one["in"] == "query"
    ]
    few = st.lists(st.sampled_from(named), unique=True, max_size=3) if named else st.just([])
    query = {name: data.draw(_WORDS) for name in data.draw(few)}
    event = data.draw(st.sampled_from(["text-1", "waits", "no such"]))
    address = path.replace("{account}", "acme").replace("{event_id}", event)
    answer = served.get(address, params=query)
    assert answer.status_code in (200, 404, 422), (query, answer.text)
    assert faults(document, path, answer) == [], (query, answer.text[:500])


PUT = [
    # budget                                          | status
    ({"amount": "250"},                                 200),
    ({"amount": "0.5", "lines": ["texts", "calls"], "campaign": "spring", "user": "u"}, 200),
    ({"amount": "0"},                                   422),
    ({"amount": "-1"},                                  422),
    ({"amount": "1e3"},                                 422),
    ({"amount": "0.0000000001"},                        422),
    ({"amount": "1000000000"},                          422),
    ({"amount": 250},                                   422),
    ({},                                                422),
    ({"amount": "1", "lines": ["taxes"]},               422),
    ({"amount": "1", "lines": "calls"},                 422),
    ({"amount": "1", "more": "?"},                      422),
    ({"amount": "1", "user": "a\nb"},                   422),
]  # fmt: skip


@pytest.mark.parametrize(("budget", "status"), PUT)
def test_a_budget_is_put_and_deleted_as_the_document_says(
    served: Served, document: Document, budget: dict[str, Any], status: int
) -> None:
    path, name = "/v1/accounts/{account}/budgets/{name}", "the/office"
    url = served.url + f"/v1/accounts/acme/budgets/{quote(name, safe='')}"
    answer = httpx.put(url, json=budget)
    assert answer.status_code == status, answer.text
    assert faults(document, path, answer, "put") == []
    names = [one["name"] for one in served.get("/v1/accounts/acme/budgets").json()["budgets"]]
    assert names == ([name] if status == 200 else [])
    told = served.get("/v1/accounts/acme/budgets")
    assert faults(document, "/v1/accounts/{account}/budgets", told) == []
    deleted = httpx.delete(url)
    assert deleted.status_code == (204 if status == 200 else 404)
    assert served.get("/v1/accounts/acme/budgets").json()["budgets"] == []


# ------------------------------------------------------------------ nothing twice


def test_an_answer_that_is_known_is_not_sent_again(served: Served, filled: Filled) -> None:
    for path in (f"usage?month={MONTH}", "usage/months", f"usage?month={MONTH}&by=day"):
        address = f"/v1/accounts/acme/{path}"
        first = served.get(address)
        tag = first.headers["etag"]
        again = served.get(address, headers={"If-None-Match": f'"other", {tag}'})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert served.get(address, headers={"If-None-Match": '"other"'}).status_code == 200
    address = f"/v1/accounts/acme/usage?month={MONTH}"
    tag = served.get(address).headers["etag"]
    filled.call(AT, id="one-more")
    changed = served.get(address, headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag
