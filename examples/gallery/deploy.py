"""A workflow changes while an execution of it is open: look what would become of it, let it go on under the new version, go back.

    python examples/gallery/deploy.py

prints::

    current is 1
    added check, after approval
    rewired publish: needs check; needs approval no more
    write: kept
    approval: kept
    check: new
    publish: not run yet
    migrated: True
    DRAFT OF SKY (checked)
    after a rollback current is 1
"""

import tempfile

import raywf
from raywf import task, workflow


@task
def write(topic: str) -> str:
    return f"draft of {topic}"


@task
def check(draft: str) -> str:
    return f"{draft} (checked)"


@task
def publish(draft: str) -> str:
    return draft.replace("draft of", "DRAFT OF").replace("sky", "SKY")


@workflow(id="article", version="1")
def article(topic: str) -> str:
    return publish(raywf.approval("Publish?", data=write(topic)))


@workflow(id="article", version="2")
def article_with_check(topic: str) -> str:
    return publish(check(raywf.approval("Publish?", data=write(topic))))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, raywf.connect(store=f"sqlite:///{folder}/raywf.db") as engine:
        print("current is", engine.deploy(article).label)
        handle = engine.submit("article", "sky")
        while handle.status() != "waiting":
            pass
        plan = engine.plan(article_with_check)
        print(*sorted(plan.changes), sep="\n")
        for each in plan.executions[0].tasks:
            print(f"{each.task}: {each.verdict}")
        engine.deploy(article_with_check)
        print("migrated:", engine.migrate(article_with_check, timeout=60).migrated == [handle.id])
        handle.approve(by="ann")
        print(handle.result(timeout=60))
        print("after a rollback current is", engine.rollback("article").label)
