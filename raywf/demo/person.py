"""Who answers the approvals: nobody in particular (the demo says yes), or you at the terminal."""

from collections.abc import Callable
from typing import Any, Protocol

from rich.console import Console
from rich.markup import escape

from raywf.demo.inputs import Ticket


class NobodyToAsk(Exception):
    """The terminal ended before every question was answered; the executions keep waiting in the store."""


class Person(Protocol):
    """Answers one approval through the execution's handle."""

    def __call__(self, handle: Any, ticket: Ticket) -> None: ...


def yes_to_all(handle: Any, ticket: Ticket) -> None:
    """What the demo does unattended: the merged answer stands, so the scores are those of merging alone."""
    handle.approve(by="demo", comment="approved unseen by the demo; --interactive asks you instead")


def at_the_terminal(console: Console, read: Callable[[str], str] | None = None) -> Person:
    """Asks on `console`, showing ticket and candidates; y approves, n rejects. Raises `NobodyToAsk` at end of input."""
    ask = read or console.input

    def person(handle: Any, ticket: Ticket) -> None:
        merged = handle.describe().results.get("merge_language") or {}
        console.print(f"\n[bold]{escape(ticket.text)}[/bold]")
        for language, probability in sorted((merged.get("candidates") or {}).items(), key=lambda item: -item[1]):
            console.print(f"  {language}  {probability:.0%}")
        said = "  ".join(f"{source}: {vote or '-'}" for source, vote in (merged.get("votes") or {}).items())
        console.print(f"  {said}", highlight=False)
        if _yes(console, ask, f"Is the language {merged.get('language') or 'unknown'}? (y/n) "):
            handle.approve(by="terminal", comment="answered by hand")
        else:
            handle.reject(by="terminal", comment="answered by hand")

    return person


def _yes(console: Console, ask: Callable[[str], str], question: str) -> bool:
    while True:
        try:
            answer = ask(question).strip().lower()
        except EOFError:
            raise NobodyToAsk from None
        if answer in ("y", "yes", "n", "no"):
            return answer.startswith("y")
        console.print(f"{answer!r} is neither y nor n.")
