"""AsyncOpenAI in batches: each is gathered whole before the next begins, however long it takes."""

import asyncio
import time

import pandas as pd
from openai import AsyncOpenAI

from benchmarks.ways.openai_gather import ask_once
from benchmarks.work import KEY, Done, Work, read_prompts, write_answers


def run(work: Work) -> Done:
    """Ask in batches of as many as may be under way."""
    frame, prompts = read_prompts(work)
    return asyncio.run(_ask_all(work, frame, prompts))


async def _ask_all(work: Work, frame: pd.DataFrame, prompts: list[str]) -> Done:
    answers: list[str | None] = []
    async with AsyncOpenAI(base_url=work.base_url, api_key=KEY) as client:
        started = time.perf_counter()
        for start in range(0, len(prompts), work.in_flight):
            batch = prompts[start : start + work.in_flight]
            answers += await asyncio.gather(*(ask_once(client, prompt) for prompt in batch))
    return write_answers(work, frame, answers, started)
