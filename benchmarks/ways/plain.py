"""A plain aiohttp + orjson loop: as fast as Python goes; no limits, retries, journal or resume."""

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
    """Ask with a fixed number of workers; an answer that is no 200 is a row lost."""
    frame, prompts = read_prompts(work)
    try:
        import uvloop
    except ImportError:
        return asyncio.run(_ask_all(work, frame, prompts))
    return uvloop.run(_ask_all(work, frame, prompts))


async def _ask_all(work: Work, frame: pd.DataFrame, prompts: list[str]) -> Done:
    answers: list[str | None] = [None] * len(prompts)
    left = iter(enumerate(prompts))
    url = f"{work.base_url}/chat/completions"
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}

    async def work_off() -> None:
        for number, prompt in left:
            answers[number] = await _ask(session, url, prompt)

    started = time.perf_counter()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        await asyncio.gather(*(work_off() for _ in range(work.in_flight)))
    return write_answers(work, frame, answers, started)


async def _ask(session: aiohttp.ClientSession, url: str, prompt: str) -> str | None:
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
