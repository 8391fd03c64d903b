"""`raywf deploy` and `raywf versions`: what would become of open executions, doing it, going back."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from raywf.core import events as ev
from tests.unit.cli.conftest import Ended
from tests.unit.cli.orders import one, two
from tests.unit.cli.stores import FilledStore

Cli = Callable[..., Ended]
HERE = "tests.unit.cli.orders"
WAITING = (
    ev.ExecutionStarted(b'{"order":"A-1"}'),
    ev.TaskCompleted("rate", 1, b"0.25"),
    ev.ApprovalRequested("approval", "Ship?", b"0.25"),
)


@pytest.fixture
def orders(store: FilledStore) -> FilledStore:
    store.add(one, WAITING, id="a-1")
    store.add(one, WAITING[:1], id="a-2")
    done = [*WAITING, ev.ApprovalDecided("approval", True, "", "x", "ann"), ev.TaskCompleted("ship", 1, b'"A-1"')]
    store.add(one, [*done, ev.ExecutionCompleted(b'"A-1"')], id="a-3")
    return store


def test_versions_are_listed_with_the_current_one_and_who_is_under_each(orders: FilledStore, cli: Cli) -> None:
    assert cli("deploy", f"{HERE}:two", "--store", orders.url, "--by", "ann").code == 0
    found = json.loads(cli("versions", "orders", "--store", orders.url, "--json").out)
    assert [(each["label"], each["open"], each["current"], each["deployed_by"]) for each in found] == [
        ("1", 2, False, None),
        ("2", 0, True, "ann"),
    ]
    table = cli("versions", "orders", "--store", orders.url).out
    assert one.definition.content_hash[:12] in table and "current, deployed" in table
    missing = cli("versions", "odrers", "--store", orders.url)
    assert missing.code == 3 and "Did you mean 'orders'?" in missing.err


def test_a_version_is_exported_and_compared(orders: FilledStore, cli: Cli) -> None:
    cli("deploy", f"{HERE}:two", "--store", orders.url)
    shown = cli("versions", "orders", "--store", orders.url, "--show", one.definition.content_hash[:8])
    assert shown.out.startswith("id: orders\n")
    assert json.loads(cli("versions", "orders", "--store", orders.url, "--show", "2", "--json").out)["version"] == "2"
    diff = cli("versions", "orders", "--store", orders.url, "--diff", "1..2").out
    assert "changed rate: options" in diff
    assert '-approval = approval(rate) {"approval": {"prompt": "Ship?"' in diff
    wrong = cli("versions", "orders", "--store", orders.url, "--show", "11")
    assert wrong.code == 3 and "has no version '11'" in wrong.err


def test_a_plan_says_for_each_what_is_kept_and_changes_nothing(orders: FilledStore, cli: Cli) -> None:
    ended = cli("deploy", f"{HERE}:two", "--plan", "--store", orders.url, "--json")
    assert ended.code == 0
    plan = json.loads(ended.out)
    tasks = {each["id"]: {task["task"]: task["verdict"] for task in each["tasks"]} for each in plan["executions"]}
    assert tasks == {
        "a-1": {"rate": "kept", "approval": "re-runs", "ship": "not run yet"},
        "a-2": {"rate": "not run yet", "approval": "not run yet", "ship": "not run yet"},
    }
    assert orders.inbox() == []
    assert [each["label"] for each in json.loads(cli("versions", "orders", "--store", orders.url, "--json").out)] == [
        "1"
    ]
    page = cli("deploy", f"{HERE}:two", "--plan", "--store", orders.url)
    assert "its prompt has changed" in page.out
    assert "2 executions can be migrated, 0 blocked" in page.out
    assert "does not cover what that function calls" in page.err


def test_a_migration_brings_results_into_their_new_shape(orders: FilledStore, cli: Cli) -> None:
    ended = cli("deploy", f"{HERE}:three", "--plan", "--store", orders.url, "--json", "--id", "a-1")
    (found,) = json.loads(ended.out)["executions"]
    said = {task["task"]: (task["was"], task["verdict"]) for task in found["tasks"]}
    assert said["score"] == ("rate", "kept")
    assert "orders.py" in found["migration"]
    ended = cli("deploy", f"{HERE}:three", "--migrate", "--store", orders.url, "--timeout", "0")
    assert ended.code == 5 and "2 executions asked" in ended.out
    rows = [row for row in orders.inbox() if row.kind == "migrate"]
    rules = json.loads(json.loads(rows[0].body)["rules"])
    assert rules["values"] == {"score": '{"value":0.25}'} and rules["rename"] == {"rate": "score"}
    again = cli("deploy", f"{HERE}:three", "--migrate", "--store", orders.url, "--timeout", "0")
    assert again.code == 5 and len(orders.inbox()) == len(rows)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (
            (f"{HERE}:typo", "--plan"),
            2,
            "the migration of workflow 'orders': rename: there is no task 'raet'",
        ),
        ((f"{HERE}:two", "--plan", "--rerun", "rat"), 2, "Did you mean 'rate'?"),
        ((f"{HERE}:two", "--plan", "--drop", "shipp"), 2, "Did you mean 'ship'?"),
        ((f"{HERE}:two", "--plan", "--migrate"), 2, "give one of them"),
        ((f"{HERE}:two", "--to", "1"), 2, "--rollback"),
        ((f"{HERE}:two", "--rerun", "rate"), 2, "--plan or --migrate"),
        (("orders", "--rollback"), 2, "never deployed"),
        (("ordres", "--rollback"), 3, "Did you mean 'orders'?"),
        ((f"{HERE}:two", "--plan", "--id", "nobody"), 3, "there is no execution 'nobody'"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(
    orders: FilledStore, cli: Cli, words: tuple[str, ...], code: int, said: str
) -> None:
    ended = cli("deploy", *words, "--store", orders.url)
    assert (ended.code, said in ended.err) == (code, True), ended.err


def test_a_parameter_that_nobody_has_a_value_for_blocks(orders: FilledStore, cli: Cli) -> None:
    ended = cli("deploy", f"{HERE}:needs_more", "--plan", "--store", orders.url)
    assert ended.code == 5
    assert "parameter 'country' is new and has no default" in ended.out.replace("\n", " ")


def test_a_result_that_does_not_fit_its_annotation_blocks(store: FilledStore, cli: Cli) -> None:
    broken = (WAITING[0], ev.TaskCompleted("rate", 1, b'"high"'), ev.ApprovalRequested("approval", "Ship?", b'"high"'))
    store.add(one, broken, id="a-1")
    ended = cli("deploy", f"{HERE}:two", "--plan", "--store", store.url, "--json")
    assert ended.code == 5
    (found,) = json.loads(ended.out)["executions"]
    assert "its result on record is 'high', which does not fit its annotation" in found["blocks"][0]


def test_a_rollback_makes_the_version_before_current_again(orders: FilledStore, cli: Cli) -> None:
    for name in ("one", "two"):
        assert "is current" in cli("deploy", f"{HERE}:{name}", "--store", orders.url).out
    assert "is current already" in cli("deploy", f"{HERE}:two", "--store", orders.url).out
    planned = cli("deploy", "orders", "--rollback", "--plan", "--store", orders.url)
    assert planned.code == 0 and "2 under it already" in planned.out
    back = cli("deploy", "orders", "--rollback", "--store", orders.url)
    assert back.code == 0 and f"version 1 ({one.definition.content_hash[:12]}) is current" in back.out
    to = cli("deploy", "orders", "--rollback", "--to", "2", "--store", orders.url)
    assert f"({two.definition.content_hash[:12]}) is current" in to.out
