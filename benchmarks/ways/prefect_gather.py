"""A Prefect task run for each article, awaited under gather."""

import asyncio
import time

from openai import AsyncOpenAI
from prefect import flow, task

from benchmarks.ways.openai_gather import ask_once
from benchmarks.work import KEY, Done, Work, read_prompts, write_answers


def run(work: Work) -> Done:
    """Gather one task run per article in an async flow, under a semaphore."""
    frame, prompts = read_prompts(work)

    @flow
    async def ask_all() -> Done:
        semaphore = asyncio.Semaphore(work.in_flight)
        async with AsyncOpenAI(base_url=work.base_url, api_key=KEY) as client:

            @task
            async def ask(prompt: str) -> str | None:
                return await ask_once(client, prompt)

            async def ask_in_turn(prompt: str) -> str | None:
                async with semaphore:
                    return await ask(prompt)

            started = time.perf_counter()
            answers = await asyncio.gather(*(ask_in_turn(prompt) for prompt in prompts))
        return write_answers(work, frame, answers, started)

    return asyncio.run(ask_all())
