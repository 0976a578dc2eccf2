"""A Prefect task run for each article, mapped with the default task runner.

Each of its task runs has an event loop of its own, which connections cannot be shared across. A
bare aiohttp session for each is the cheapest there is, so what is measured is Prefect.
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
    async def ask(prompt: str) -> str:
        body = {"model": MODEL, "max_tokens": MAX_TOKENS, "messages": messages(prompt)}
        headers = {"Authorization": f"Bearer {KEY}"}
        async with (
            aiohttp.ClientSession(headers=headers, raise_for_status=True) as session,
            session.post(url, json=body) as response,
        ):
            answer: str = (await response.json())["choices"][0]["message"]["content"]
            return answer

    @flow
    def ask_all() -> Done:
        started = time.perf_counter()
        # Its stubs take the mapped task for a plain one, whose results would be coroutines.
        answers: Any = ask.map(prompts).result()
        return write_answers(work, frame, answers, started)

    return ask_all()
