"""Ways to query a model about every article of a table: one per module, each with `run(work)`."""

from importlib import import_module

from benchmarks.work import Done, Work

LABELS = {
    "ours": "article-flows",
    "plain": "plain aiohttp + orjson loop",
    "openai-gather": "AsyncOpenAI, gather with a semaphore",
    "barrier": "AsyncOpenAI, barrier batches",
    "prefect-gather": "Prefect, gather of a task per article",
    "prefect-map": "Prefect, .map of a task per article",
    "one-by-one": "OpenAI, one after another",
}


def run_way(name: str, work: Work) -> Done:
    """Do the work in the way with this key of `LABELS`; pass on all its exceptions."""
    module = import_module(f"benchmarks.ways.{name.replace('-', '_')}")
    done: Done = module.run(work)
    return done
