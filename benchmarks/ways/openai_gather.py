"""AsyncOpenAI as commonly used: gather all requests with a semaphore, then write the answers."""

import asyncio
import time

import pandas as pd
from openai import AsyncOpenAI

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
    """Gather all requests; a single permanent failure loses every answer."""
    frame, prompts = read_prompts(work)
    return asyncio.run(_run_all(work, frame, prompts))


async def _run_all(work: Work, frame: pd.DataFrame, prompts: list[str]) -> Done:
    semaphore = asyncio.Semaphore(work.in_flight)

    async def complete(prompt: str) -> str | None:
        async with semaphore:
            return await complete_once(client, prompt)

    async with AsyncOpenAI(base_url=work.base_url, api_key=KEY) as client:
        started = time.perf_counter()
        answers = await asyncio.gather(*(complete(prompt) for prompt in prompts))
    return write_answers(work, frame, answers, started)


async def complete_once(client: AsyncOpenAI, prompt: str) -> str | None:
    """Make one call with the client's default retries."""
    completion = await client.chat.completions.create(
        model=MODEL,
        max_tokens=MAX_TOKENS,
        temperature=0,
        messages=messages(prompt),  # type: ignore[arg-type]  # Plain dicts, as most users write them.
    )
    return completion.choices[0].message.content
