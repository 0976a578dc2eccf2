"""AsyncOpenAI in batches: each batch waits for its slowest request before the next one starts."""

import asyncio
import time

import pandas as pd
from openai import AsyncOpenAI

from benchmarks.ways.openai_gather import complete_once
from benchmarks.work import KEY, Done, Work, read_prompts, write_answers


def run(work: Work) -> Done:
    """Request answers in batches of `work.in_flight`."""
    frame, prompts = read_prompts(work)
    return asyncio.run(_run_all(work, frame, prompts))


async def _run_all(work: Work, frame: pd.DataFrame, prompts: list[str]) -> Done:
    answers: list[str | None] = []
    async with AsyncOpenAI(base_url=work.base_url, api_key=KEY) as client:
        started = time.perf_counter()
        for start in range(0, len(prompts), work.in_flight):
            batch = prompts[start : start + work.in_flight]
            answers += await asyncio.gather(*(complete_once(client, prompt) for prompt in batch))
    return write_answers(work, frame, answers, started)
