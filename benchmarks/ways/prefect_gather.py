"""A Prefect task run per article, gathered in an async flow."""

import asyncio
import time

from openai import AsyncOpenAI
from prefect import flow, task

from benchmarks.ways.openai_gather import complete_once
from benchmarks.work import KEY, Done, Work, read_prompts, write_answers


def run(work: Work) -> Done:
    """Gather one task run per article with a semaphore."""
    frame, prompts = read_prompts(work)

    @flow
    async def run_all() -> Done:
        semaphore = asyncio.Semaphore(work.in_flight)
        async with AsyncOpenAI(base_url=work.base_url, api_key=KEY) as client:

            @task
            async def complete(prompt: str) -> str | None:
                return await complete_once(client, prompt)

            async def complete_in_turn(prompt: str) -> str | None:
                async with semaphore:
                    return await complete(prompt)

            started = time.perf_counter()
            answers = await asyncio.gather(*(complete_in_turn(prompt) for prompt in prompts))
        return write_answers(work, frame, answers, started)

    return asyncio.run(run_all())
