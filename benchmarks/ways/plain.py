"""A plain aiohttp + orjson loop: the fastest Python, without limits, retries, journal or resume."""

import asyncio
import time

import aiohttp
import orjson
import pandas as pd

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
    """Send requests from a fixed number of workers; any status except 200 loses the row."""
    frame, prompts = read_prompts(work)
    try:
        import uvloop
    except ImportError:
        return asyncio.run(_run_all(work, frame, prompts))
    return uvloop.run(_run_all(work, frame, prompts))


async def _run_all(work: Work, frame: pd.DataFrame, prompts: list[str]) -> Done:
    answers: list[str | None] = [None] * len(prompts)
    remaining = iter(enumerate(prompts))
    url = f"{work.base_url}/chat/completions"
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}

    async def worker() -> None:
        for number, prompt in remaining:
            answers[number] = await _complete(session, url, prompt)

    started = time.perf_counter()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        await asyncio.gather(*(worker() for _ in range(work.in_flight)))
    return write_answers(work, frame, answers, started)


async def _complete(session: aiohttp.ClientSession, url: str, prompt: str) -> str | None:
    body = {
        "model": MODEL,
        "max_tokens": MAX_TOKENS,
        "temperature": 0,
        "messages": messages(prompt),
    }
    try:
        async with session.post(url, data=orjson.dumps(body)) as response:
            if response.status != 200:
                return None
            answer: str = orjson.loads(await response.read())["choices"][0]["message"]["content"]
            return answer
    except aiohttp.ClientError:
        return None
