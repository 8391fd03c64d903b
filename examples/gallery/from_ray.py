"""A program for ``ray.workflow``, which Ray removed: only its import has changed.

    python examples/gallery/from_ray.py

prints::

    720
    WorkflowStatus.SUCCESSFUL
"""

import tempfile

import ray

from raywf.compat import ray_workflow as workflow


@ray.remote
def multiply(a: int, b: int) -> int:
    return a * b


@ray.remote
def factorial(n: int, so_far: int = 1) -> int:
    if n <= 1:
        return so_far
    return workflow.continuation(factorial.bind(n - 1, multiply.bind(so_far, n)))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
        workflow.init(storage=f"sqlite:///{folder}/raywf.db")
        print(workflow.run(factorial.bind(6), workflow_id="six"))
        print(workflow.get_status("six"))
        ray.shutdown()
