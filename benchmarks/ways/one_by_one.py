"""One article after another with the OpenAI client: the simplest way."""

import time

from openai import OpenAI

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
    """Request each answer after the previous one has arrived."""
    frame, prompts = read_prompts(work)
    answers = []
    with OpenAI(base_url=work.base_url, api_key=KEY) as client:
        started = time.perf_counter()
        for prompt in prompts:
            completion = client.chat.completions.create(
                model=MODEL,
                max_tokens=MAX_TOKENS,
                temperature=0,
                messages=messages(prompt),  # type: ignore[arg-type]  # Plain dicts, as most users write them.
            )
            answers.append(completion.choices[0].message.content)
    return write_answers(work, frame, answers, started)
