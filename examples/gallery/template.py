"""A template: one body, and a workflow for each set of parameters. They are plain values, so `for` may use them. No Ray.

    python examples/gallery/template.py

prints::

    quick: draft, polished once
    careful: draft, polished once, polished once, polished once, checked
"""

import raywf
import raywf.testing
from raywf import task


@task
def polish(text: str) -> str:
    return f"{text}, polished once"


@task
def check(text: str) -> str:
    return f"{text}, checked"


@raywf.template
def review(text: str, *, rounds: int = 1, checked: bool = False) -> str:
    for _ in range(rounds):
        text = polish(text)
    return check(text) if checked else text


quick = review()
careful = review(rounds=3, checked=True, id="careful-review")

if __name__ == "__main__":
    print("quick:", raywf.testing.run(quick, "draft"))
    print("careful:", raywf.testing.run(careful, "draft"))
