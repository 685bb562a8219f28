"""An error is told to a person in words, never by the name of a class."""

import pytest

from streams.base.errors import in_words


class TopicAuthorizationFailedError(Exception):
    pass


def wrapped() -> Exception:
    try:
        try:
            raise ConnectionRefusedError(111, "refused")
        except OSError as error:
            raise RuntimeError("HTTPConnectionPool(...)") from error
    except RuntimeError as error:
        return error


ERRORS = [
    # error                                                         | as it is said
    (wrapped(),                                                       "connection refused"),
    (FileNotFoundError(2, "x", "/run/s"), "no such file or directory: /run/s"),
    (ValueError("KafkaConnectionError: Unable to bootstrap from [('h', 1, <A: 2>)]"),
     "Unable to bootstrap"),
    (ValueError("Code: 516. DB::Exception: default: Authentication failed"),
     "Code: 516. default: Authentication failed"),
    (TopicAuthorizationFailedError(), "topic authorization failed"),
    (ValueError("[Error 30] GroupAuthorizationFailedError: my-group"),
     "group authorization failed: my-group"),
]  # fmt: skip


@pytest.mark.parametrize(("error", "said"), ERRORS, ids=[said for _, said in ERRORS])
def test_an_error_is_said_in_words(error: Exception, said: str) -> None:
    assert in_words(error) == said
