"""Work that needs a core: `num_cpus` makes each call a Ray task, on whichever node has one free.

    python examples/cpu_on_ray.py

prints::

    9592 primes below 100000
"""

import raywf
from raywf import task, workflow


@task
def ranges(limit: int, parts: int) -> list[tuple[int, int]]:
    step = -(-limit // parts)
    return [(start, min(start + step, limit)) for start in range(0, limit, step)]


@task(num_cpus=1, timeout=60, retry=raywf.Retry(max_attempts=2))
def primes(span: tuple[int, int]) -> int:
    low, high = span
    return sum(all(n % d for d in range(2, int(n**0.5) + 1)) for n in range(max(low, 2), high))


@task
def total(counts: list[int]) -> int:
    return sum(counts)


@workflow
def count_primes(limit: int, parts: int = 16) -> int:
    return total(primes.map(ranges(limit, parts)))


if __name__ == "__main__":
    with raywf.connect() as engine:
        print(engine.run(count_primes, 100_000), "primes below 100000")
