"""What a fake partner answers, as a value; how it travels, well or badly, is `exchange.py`'s business."""

import html

import msgspec

_PAGE = (
    "<!doctype html><html lang=en><head><meta charset=utf-8><title>{title}</title></head>"
    "<body><h1>{title}</h1><p>{text}</p></body></html>"
)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP answer: status, whole body, and the headers beside Content-Length."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


def json_answer(status: int, value: object, *, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    """An answer whose body is `value` as JSON."""
    return Answer(
        status=status,
        body=msgspec.json.encode(value),
        headers=(("content-type", "application/json; charset=utf-8"), *headers),
    )


def html_answer(status: int, title: str, text: str, *, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    """An answer whose body is a small HTML page, as web applications give for paths they do not know."""
    page = _PAGE.format(title=html.escape(title), text=html.escape(text))
    return Answer(status=status, body=page.encode(), headers=(("content-type", "text/html; charset=utf-8"), *headers))
