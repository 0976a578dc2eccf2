"""A dry run predicts the counts of the run, bounds its cost and writes nothing."""

import json
import re
from pathlib import Path

import pytest

from article_flows.tasks.checks.dry_run import Estimate, estimate_run
from article_flows.tasks.enriched.recipes import load_recipe, recipe_text
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.llm.protocol.chat import Usage
from article_flows.tasks.llm.protocol.prices import Price
from article_flows.tasks.settings import IngestSettings, SummarizeSettings
from article_flows.tasks.summarize.job import Job
from article_flows.tasks.summarize.open_job import open_job
from benchmarks.servers.endpoints import MockEndpoint
from tests.tasks.summarize.job_support import (
    POISON,
    RunResult,
    article,
    at,
    endpoint,
    fill,
    run,
    run_open,
    summarize_settings,
)

DEMO = Path(__file__).parents[3] / "data" / "articles.jsonl"
TEXT = "A text that several papers print. It is the same in each of them."


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.fixture
def mock() -> MockEndpoint:
    return endpoint()


def files_of(lake: Lake) -> dict[str, tuple[int, bytes]]:
    paths = [path for path in at(lake).rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in paths}


def estimated(settings: SummarizeSettings, ingest: IngestSettings | None = None) -> Estimate:
    """Estimate, and check that the lake is unchanged."""
    lake = Lake(settings.lake)
    before, was_there = files_of(lake), at(lake).exists()
    estimate = estimate_run(settings, ingest)
    assert files_of(lake) == before
    assert at(lake).exists() == was_there
    return estimate


def assert_matches(estimate: Estimate, ran: RunResult) -> None:
    assert estimate.calls == ran.plan.to_request == ran.totals.calls
    assert estimate.articles == ran.plan.articles
    assert estimate.reused == ran.plan.reused + ran.plan.recovered + ran.plan.to_copy
    assert (estimate.failed, estimate.left) == (ran.plan.failed, ran.plan.left)
    assert estimate.prompt_tokens >= ran.totals.usage.prompt
    assert estimate.completion_tokens >= ran.totals.usage.completion
    assert estimate.cost_usd is not None
    assert estimate.cost_usd >= ran.totals.cost_usd


@pytest.mark.parametrize("recipe", ["summary", "digest", "headline_zh"])
def test_the_demo_costs_at_most_the_estimate_and_not_much_less(
    lake: Lake, mock: MockEndpoint, recipe: str
) -> None:
    """The token cap is high enough that no answer is truncated and requested again."""
    path = at(lake).parent / f"{recipe}.yaml"
    path.write_text(re.sub(r"(?<=max_output_tokens: )\d+", "3000", recipe_text(recipe)))
    source = {"sources": [str(DEMO)], "lake": str(lake)}
    prices = {"price_in": 3.0, "price_out": 15.0}
    settings = summarize_settings(lake, mock.base_url, recipe=str(path), **prices)
    estimate = estimated(settings, IngestSettings.model_validate(source))
    assert (estimate.rows_in, estimate.articles, estimate.calls) == (100, 100, 100)
    fill(lake, [json.loads(line) for line in DEMO.read_text(encoding="utf-8").splitlines()])
    ran = run(settings)
    assert_matches(estimate, ran)
    assert ran.totals.reasks == 0
    assert ran.totals.usage.prompt > 0.9 * estimate.prompt_tokens


def state_of(lake: Lake, mock: MockEndpoint, name: str) -> None:
    """Bring a lake of six articles, two with the same text and one rejected, into a state."""
    rows = [*(article(f"a{n}") for n in range(3)), article("bad", f"It is {POISON}.")]
    fill(lake, [*rows, article("c1", TEXT), article("c2", TEXT)])
    if name == "done in part":
        run(summarize_settings(lake, mock.base_url, limit=2))
    if name == "done":
        run(summarize_settings(lake, mock.base_url))
    if name == "failed for now":
        run(summarize_settings(lake, endpoint(empty=1.0).base_url))
    if name in ("answers in journals", "failures in journals"):
        base_url = mock.base_url if name[0] == "a" else endpoint(empty=1.0).base_url
        settings = summarize_settings(lake, base_url)
        with open_job(settings, "earlier") as job, pytest.raises(OSError, match="full"):
            run_open(job, settings)


def full(self: Job, *args: object, **options: object) -> None:
    raise OSError("full")


@pytest.mark.parametrize("options", [{}, {"limit": 2}, {"retry_failed": True}])
@pytest.mark.parametrize(
    "state",
    [
        "fresh",
        "done in part",
        "done",
        "failed for now",
        "answers in journals",
        "failures in journals",
    ],
)
def test_the_estimate_matches_the_run(
    lake: Lake,
    mock: MockEndpoint,
    monkeypatch: pytest.MonkeyPatch,
    state: str,
    options: dict[str, int],
) -> None:
    with monkeypatch.context() as patch:
        if state.endswith("in journals"):
            patch.setattr(Job, "commit", full)
        state_of(lake, mock, state)
    settings = summarize_settings(lake, mock.base_url, price_in=1.0, price_out=1.0, **options)
    estimate = estimated(settings)
    assert_matches(estimate, run(settings))


def test_articles_in_sources_and_lake_are_counted_together(lake: Lake, mock: MockEndpoint) -> None:
    fill(lake, [article("a1"), article("a2")])
    run(summarize_settings(lake, mock.base_url, limit=1))
    source = at(lake).parent / "more.jsonl"
    rows = [article("a2"), article("a3"), article("copy", article("a1")["body"])]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    ingest = IngestSettings(sources=[str(source)], lake=str(lake))
    settings = summarize_settings(lake, mock.base_url, price_in=1.0, price_out=1.0)
    estimate = estimated(settings, ingest)
    assert (estimate.rows_in, estimate.articles, estimate.calls, estimate.reused) == (3, 4, 2, 2)
    fill(lake, rows)
    assert_matches(estimate, run(settings))


def test_an_empty_lake_is_estimated_and_not_created(lake: Lake) -> None:
    estimate = estimated(summarize_settings(lake, "http://127.0.0.1:1/v1"))
    assert (estimate.articles, estimate.calls, estimate.prompt_tokens) == (0, 0, 0)


def test_an_unknown_price_gives_no_cost(lake: Lake) -> None:
    fill(lake, [article("a1")])
    settings = summarize_settings(lake, "http://127.0.0.1:1/v1", model="nobody-knows-this-model")
    assert estimated(settings).cost_usd is None
    assert estimated(summarize_settings(lake, "mock")).cost_usd == 0


def test_only_single_long_prompts_have_the_price_of_long_prompts(lake: Lake) -> None:
    """The model has a higher price for prompts of more than 200,000 tokens."""
    model, cap = "gemini-2.5-pro", load_recipe("summary").max_output_tokens
    price = Price.for_model(model)
    assert price is not None
    per_token = (price.cost(Usage(1_000)) - price.cost(Usage())) / 1_000
    assert price.cost(Usage(1_000_000)) > 1.5 * 1_000_000 * per_token
    fill(lake, [article(f"a{n}", f"{n}" + "x" * 400_000) for n in range(3)])
    estimate = estimated(summarize_settings(lake, "http://127.0.0.1:1/v1", model=model))
    assert estimate.prompt_tokens > 300_000
    of_prompts = estimate.prompt_tokens * per_token
    assert estimate.cost_usd == pytest.approx(of_prompts + 3 * price.cost(Usage(0, 0, cap)))
    fill(lake, [article("long", "x" * 900_000)])
    with_long = estimated(summarize_settings(lake, "http://127.0.0.1:1/v1", model=model))
    assert with_long.cost_usd is not None
    assert with_long.cost_usd >= of_prompts + price.cost(Usage(225_000, 0, cap))


def test_a_long_template_is_counted_in_every_prompt(
    lake: Lake, mock: MockEndpoint, tmp_path: Path
) -> None:
    recipe = tmp_path / "long.yaml"
    shown = "Read this. " * 100
    recipe.write_text(
        f"name: long\ninstructions: Do.\narticle: '{shown}{{body}}'\n"
        "fields: {summary: {type: string}}\n"
    )
    fill(lake, [article("a1"), article("a2")])
    settings = summarize_settings(
        lake, mock.base_url, recipe=str(recipe), price_in=1.0, price_out=1.0
    )
    assert_matches(estimated(settings), run(settings))
