"""AsyncOpenAI as its users call it: everything gathered under a semaphore, written in the end."""

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
    """Ask for all at once; one call that fails for good throws every answer away."""
    frame, prompts = read_prompts(work)
    return asyncio.run(_ask_all(work, frame, prompts))


async def _ask_all(work: Work, frame: pd.DataFrame, prompts: list[str]) -> Done:
    semaphore = asyncio.Semaphore(work.in_flight)

    async def ask(prompt: str) -> str | None:
        async with semaphore:
            return await ask_once(client, prompt)

    async with AsyncOpenAI(base_url=work.base_url, api_key=KEY) as client:
        started = time.perf_counter()
        answers = await asyncio.gather(*(ask(prompt) for prompt in prompts))
    return write_answers(work, frame, answers, started)


async def ask_once(client: AsyncOpenAI, prompt: str) -> str | None:
    """Make one call with the client, its own retries as they are by default."""
    completion = await client.chat.completions.create(
        model=MODEL,
        max_tokens=MAX_TOKENS,
        temperature=0,
        messages=messages(prompt),  # type: ignore[arg-type]  # Plain dicts, as people write them.
    )
    return completion.choices[0].message.content
