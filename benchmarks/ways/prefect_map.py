"""A Prefect task run per article, mapped with the default task runner.

Each task run has its own event loop, so task runs cannot share connections. A bare aiohttp session
per task run costs least, so the measurement is dominated by Prefect.
"""

import time
from typing import Any

import aiohttp
from prefect import flow, task

from benchmarks.work import (
    KEY,
    MAX_TOKENS,
    MODEL,
    Done,
    Work,
    messages,
    read_prompts,
    write_answers,
)


def run(work: Work) -> Done:
    """Map one async task over all articles."""
    frame, prompts = read_prompts(work)
    url = f"{work.base_url}/chat/completions"

    @task
    async def complete(prompt: str) -> str:
        body = {"model": MODEL, "max_tokens": MAX_TOKENS, "messages": messages(prompt)}
        headers = {"Authorization": f"Bearer {KEY}"}
        async with (
            aiohttp.ClientSession(headers=headers, raise_for_status=True) as session,
            session.post(url, json=body) as response,
        ):
            answer: str = (await response.json())["choices"][0]["message"]["content"]
            return answer

    @flow
    def run_all() -> Done:
        started = time.perf_counter()
        # Prefect's type stubs treat the results of a mapped async task as coroutines.
        answers: Any = complete.map(prompts).result()
        return write_answers(work, frame, answers, started)

    return run_all()
