"""From samples to verdicts: the ratio of each round, and their median decides."""

from benchmarks.bars import Measured, single_execution, verdicts
from benchmarks.sample import Sample


def throughput(row: str, *per_s: float) -> list[Sample]:
    return [Sample(row, turn, {"per_s": value}) for turn, value in enumerate(per_s, start=1)]


def find(samples: list[Sample], words: str):
    [verdict] = [verdict for verdict in verdicts(samples) if words in verdict.what]
    return verdict


def test_a_ratio_is_taken_round_by_round():
    samples = throughput("bare", 10_000, 5_000, 8_000) + throughput("actor-async", 5_000, 2_500, 2_000)
    verdict = find(samples, "async tasks, to the bare group commit")
    assert verdict.samples == [0.5, 0.5, 0.25]
    assert verdict.met is True
    assert verdict.measured == "0.5 [0.25-0.5] ×"


def test_of_a_peers_modes_the_faster_counts():
    samples = (
        throughput("actor-async", 4_000, 4_000)
        + throughput("dbos-threads-default", 40, 40)
        + throughput("dbos-sequential-wal", 125, 80)
    )
    verdict = find(samples, "dbos-sequential-wal")
    assert verdict.samples == [32.0, 50.0]
    assert verdict.met is True
    assert Measured(samples).faster(("dbos-threads-default", "dbos-sequential-wal")) == "dbos-sequential-wal"


def test_a_missed_bar_is_said_plainly():
    verdict = find(throughput("ray-raw", 300) + throughput("ray-raywf", 900), "trivial Ray tasks")
    assert (verdict.met, verdict.word) == (False, "NOT MET")


def test_one_workflow_actor_and_two_have_bars_of_their_own():
    samples = (
        throughput("many-bare", 10_000) + throughput("many-one-actor", 5_600) + throughput("many-two-actors", 9_900)
    )
    assert find(samples, "on one workflow actor").met is True
    assert find(samples, "on two workflow actors").met is False


def test_a_failed_sample_is_no_measurement():
    samples = [*throughput("bare", 10_000), Sample("actor-async", 1, {"per_s": 9_000}, error="exit 1")]
    verdict = find(samples, "async tasks, to the bare group commit")
    assert (verdict.met, verdict.word, verdict.measured) == (None, "not measured", "")


def test_a_figure_without_a_bar_is_shown_and_not_judged():
    verdict = find([Sample("cold", 1, {"result_s": 6.0})], "raywf run")
    assert (verdict.measured, verdict.met, verdict.word) == ("6.00", None, "-")


def test_limits_hold_on_the_right_side():
    assert find([Sample("import", 1, {"import_s": 0.3, "ray_imported": 0.0})], "import raywf, s").met is True
    assert find([Sample("import", 1, {"import_s": 0.1, "ray_imported": 1.0})], "Ray imported").met is False
    assert find([Sample("cpu-raywf", 1, {"per_s": 20.0, "idlest": 0.84})], "less busy core").met is False
    assert find([Sample("kill", 1, {"next_event_s": 4.1, "most_runs_of_an_attempt": 2})], "next event").met is False
    assert find([Sample("kill", 1, {"next_event_s": 4.1, "most_runs_of_an_attempt": 3})], "most often").met is False


def latency(p50: float, p99: float, ping: float = 1.0, commit: float = 0.3) -> Measured:
    return Measured([Sample("single", 1, {"p50_ms": p50, "p99_ms": p99, "ping_p50_ms": ping, "commit_p50_ms": commit})])


def test_a_single_execution_may_be_fast_in_either_of_two_ways():
    assert single_execution(latency(4.9, 24, ping=0.5)).met is True
    assert single_execution(latency(4.9, 26, ping=0.5)).met is False
    assert single_execution(latency(4.7, 90)).met is True  # 1 + 6 * 0.3 + 2 = 4.8
    assert single_execution(latency(20, 90, ping=2, commit=3)).met is True  # a slow disk
    assert single_execution(Measured([])).met is None
