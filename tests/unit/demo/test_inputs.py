"""What files are read, and which are refused with file, line and what to do."""

from collections import Counter
from pathlib import Path

import pytest

from raywf.demo.inputs import Ticket, demo_tickets, read_tickets
from raywf.demo.rules import TOPICS, URGENCIES, topic, urgency
from raywf.errors import InvalidInput


def test_the_demo_has_many_languages_and_its_share_of_hard_tickets() -> None:
    tickets = demo_tickets()
    languages = Counter(ticket.language for ticket in tickets)
    assert len(tickets) >= 330
    assert len(languages) >= 18
    assert min(languages.values()) >= 10
    assert {"da", "no", "cs", "sk", "es", "pt", "uk", "ru", "bg"} <= set(languages)
    assert {ticket.topic for ticket in tickets} == set(TOPICS)
    assert {ticket.urgency for ticket in tickets} == set(URGENCIES)
    assert 0.15 <= sum(ticket.kind != "plain" for ticket in tickets) / len(tickets) <= 0.25
    assert len({ticket.id for ticket in tickets}) == len({ticket.text for ticket in tickets}) == len(tickets)


def test_no_demo_ticket_names_an_address_or_an_email() -> None:
    assert not [ticket.text for ticket in demo_tickets() if "@" in ticket.text or "http" in ticket.text]


def test_text_files_have_a_ticket_per_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.TXT"
    path.write_bytes("\ufeffWo ist mein Paket?\r\n\r\n  Hvor er min pakke?  \n".encode())
    assert read_tickets(path) == [Ticket("line-1", "Wo ist mein Paket?"), Ticket("line-3", "Hvor er min pakke?")]


def test_csv_may_carry_the_truth(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text('id,text,language,topic\n7,"hei, hva skjer?",NB,\n,"to\nlinjer",,bug\n', encoding="utf-8")
    first, second = read_tickets(path)
    assert (first.id, first.language, first.topic) == ("7", "no", None)
    assert (second.text, second.language, second.topic) == ("to\nlinjer", None, "bug")


def test_jsonl(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"text": "a", "urgency": "HIGH"}\n\n{"text": "b", "other": 1}\n', encoding="utf-8")
    assert [ticket.urgency for ticket in read_tickets(path)] == ["high", None]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.pdf", b"x", r"\.txt, \.csv and \.jsonl.*'\.pdf'"),
        ("a.txt", b"", "no tickets in it"),
        ("a.txt", b"fine\n\xff\xfe\n", "line 2: this is not UTF-8"),
        ("a.csv", b"subject,body\n1,2\n", r"column named text.*subject, body"),
        ("a.csv", b"", "column named text"),
        ("a.csv", b'text\nfine\n""\n', "line 3: the text is ''"),
        ("a.csv", b'text\n"open', "line 2: this is not CSV"),
        ("a.jsonl", b'{"text": "a"}\n{"text": \n', "line 2: this is not JSON"),
        ("a.jsonl", b'"just a text"\n', "line 1: an object like"),
        ("a.jsonl", b'{"body": "a"}\n', "line 1: the text is None"),
        ("a.jsonl", b'{"text": "a", "language": "english"}\n', "line 1: the language 'english'.*ISO 639-1"),
        ("a.jsonl", b'{"text": "a", "topic": "weather"}\n', "line 1: the topic 'weather' is none of refund"),
    ],
)
def test_a_bad_file_is_refused(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=says) as refused:
        read_tickets(path)
    assert str(path) in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="there is no file"):
        read_tickets(tmp_path / "none.txt")
    (tmp_path / "dir.txt").mkdir()
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_tickets(tmp_path / "dir.txt")


@pytest.mark.parametrize(
    ("text", "language", "says"),
    [
        ("Please refund the payment", "en", "refund"),
        ("RECHNUNG", "de", "billing"),
        ("Der App stürzt ab", "de", "bug"),
        ("荷物が届きません", "ja", "delivery"),
        ("hello", "en", "other"),
        ("my password", None, "login"),
        ("my password", "xx", "login"),
    ],
)
def test_topics_come_from_keywords(text: str, language: str | None, says: str) -> None:
    assert topic(text, language) == says


def test_urgency_comes_from_keywords() -> None:
    assert [urgency(text, "en") for text in ("URGENT, thanks", "no rush", "hello")] == ["high", "low", "normal"]
