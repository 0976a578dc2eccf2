"""What a run would take, told without a call: articles, tokens, US dollars."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass

from article_flows.tasks.enriched.outcomes import read_outcomes
from article_flows.tasks.enriched.table import EnrichedTable
from article_flows.tasks.ingest.load import Load
from article_flows.tasks.ingest.load_sources import ingest_source
from article_flows.tasks.ingest.options import loading_of, sources_of
from article_flows.tasks.ingest.source_report import SourceReport
from article_flows.tasks.journal.open import find_leftovers
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.lake.superseded import Superseded
from article_flows.tasks.llm.protocol.chat import ChatTemplate, Usage
from article_flows.tasks.llm.protocol.prices import Price
from article_flows.tasks.llm.protocol.token_estimate import estimate_tokens
from article_flows.tasks.settings import IngestSettings, SummarizeSettings
from article_flows.tasks.summarize.endpoint import Endpoint
from article_flows.tasks.summarize.open_job import open_table
from article_flows.tasks.summarize.planner import Plan, Planner
from article_flows.tasks.summarize.prompts import chat_template


@dataclass(frozen=True)
class Estimate:
    """What a run would take.

    ``prompt_tokens`` is an estimate, ``completion_tokens`` the most that the recipe allows, and
    ``cost_usd`` the price of both, without retries and without the discount for cached prompts;
    None if the model's price is unknown. ``quota_minutes`` is what it takes at most with the
    requests and tokens a minute that the settings name, None if they name none.
    """

    rows_in: int
    duplicates: int
    rejected: int
    not_read: list[str]
    articles: int
    reused: int
    failed: int
    left: int
    calls: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None
    quota_minutes: float | None
    budget_usd: float | None
    model: str
    recipe: str
    endpoint: str


def estimate_run(settings: SummarizeSettings, ingest: IngestSettings | None = None) -> Estimate:
    """Plan a run as it would be, loading the sources into a lake that is thrown away.

    Raises:
        UserError: as the run itself would, before its first call.
    """
    table, endpoint = open_table(settings)
    lake = table.lake
    leftovers = find_leftovers(lake.storage, table.name)
    reports: list[SourceReport] = []
    with tempfile.TemporaryDirectory(prefix="article-flows-") as scratch:
        parts, lakes = lake.parts(lake.articles), [lake]
        if ingest is not None:
            trial = Lake(scratch)
            reports = _load(ingest, Load(lake, trial, keep_versions=ingest.keep_versions))
            parts += trial.parts(trial.articles)
            lakes.append(trial)
        planner = Planner(
            table,
            recovered=set(read_outcomes(leftovers, retry_refused=settings.retry_failed)),
            limit=settings.limit or None,
            retry_refused=settings.retry_failed,
            estimate=True,
            article_parts=parts,
            superseded=Superseded(*lakes),
        )
        for _ in planner.batches():
            pass
    template = chat_template(table.recipe, table.model, endpoint.base_url)
    return _estimate(planner.plan, template, endpoint, table, reports, settings)


def _load(ingest: IngestSettings, load: Load) -> list[SourceReport]:
    sources = sources_of(ingest)
    loading = loading_of(ingest, load.before, sources)
    reports = [
        *(ingest_source(source, load, loading) for source in sources),
        *(SourceReport(broken.name, error=broken.reason) for broken in sources.broken),
    ]
    load.finish(mirror=ingest.mirror)
    return reports


def _estimate(
    plan: Plan,
    template: ChatTemplate,
    endpoint: Endpoint,
    table: EnrichedTable,
    reports: list[SourceReport],
    settings: SummarizeSettings,
) -> Estimate:
    price = endpoint.price
    constant = template.constant_tokens + estimate_tokens(table.recipe.article)
    prompt = (plan.prompt_tokens or 0) + plan.to_ask * constant
    completion = plan.to_ask * template.max_output_tokens
    longest = Usage(plan.longest_prompt + constant, 0, template.max_output_tokens)
    return Estimate(
        rows_in=sum(report.rows_in for report in reports),
        duplicates=sum(report.duplicates for report in reports),
        rejected=sum(report.rejected for report in reports),
        not_read=[report.error for report in reports if report.error],
        articles=plan.articles,
        reused=plan.reused + plan.to_copy + plan.recovered,
        failed=plan.refused,
        left=plan.left,
        calls=plan.to_ask,
        prompt_tokens=prompt,
        completion_tokens=completion,
        cost_usd=_cost(price, prompt, plan.to_ask, longest) if price else None,
        quota_minutes=_quota_minutes(settings, plan.to_ask, prompt + completion),
        budget_usd=settings.budget_usd or None,
        model=table.model,
        recipe=table.recipe.name,
        endpoint=endpoint.describe(),
    )


def _quota_minutes(settings: SummarizeSettings, calls: int, tokens: int) -> float | None:
    """Minutes that the quotas of the settings make of so many calls and tokens."""
    shares = ((calls, settings.rpm), (tokens, settings.tpm))
    return max((amount / a_minute for amount, a_minute in shares if a_minute), default=None)


def _cost(price: Price, prompt: int, calls: int, longest: Usage) -> float:
    """US dollars for all calls at the rates of the one with the longest prompt.

    Long prompts may be dearer by the token; all of them together are no long prompt.
    """
    of_call = price.cost(Usage())
    of_prompt = price.cost(Usage(longest.prompt)) - of_call
    of_completion = price.cost(longest) - of_prompt - of_call
    return calls * (of_call + of_completion) + prompt * of_prompt / longest.prompt
