"""Estimate calls, tokens and cost of a run without making a call or changing the lake."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass

from article_flows.tasks.enriched.outcomes import read_outcomes
from article_flows.tasks.enriched.table import EnrichedTable
from article_flows.tasks.ingest.load import Load
from article_flows.tasks.ingest.load_sources import ingest_source
from article_flows.tasks.ingest.options import load_options, sources_of
from article_flows.tasks.ingest.source_report import SourceReport
from article_flows.tasks.journal.open import find_leftovers
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.lake.tombstones import Tombstones
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
    """The estimate of a run; the counts have the names of the run's report.

    Attributes:
        not_read: Why sources could not be read, a line each.
        calls: Articles that would be sent to the endpoint.
        prompt_tokens: An estimate.
        completion_tokens: The maximum that the recipe allows.
        cost_usd: Price of these tokens in US dollars, without retries and without the discount for
            cached prompts; None if the model's price is unknown.
        quota_minutes: Duration in minutes at the ``rpm`` and ``tpm`` of the settings; None if
            neither is set.
        budget_usd: US dollars; None if there is no budget.
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
    """Plan a run, with the sources loaded into a temporary lake.

    Args:
        settings: The run.
        ingest: The sources to load first; None to use only the articles in the lake.

    Raises:
        UserError: For the reasons that would stop the run before its first call.

    Example:
        >>> estimate = estimate_run(SummarizeSettings(lake="no-lake"), IngestSettings())
        >>> estimate.rows_in, estimate.calls, estimate.cost_usd
        (100, 100, 0.0)
    """
    table, endpoint = open_table(settings)
    lake = table.lake
    leftovers = find_leftovers(lake.storage, table.name)
    reports: list[SourceReport] = []
    with tempfile.TemporaryDirectory(prefix="article-flows-") as scratch:
        parts, lakes = lake.parts(lake.articles), [lake]
        if ingest is not None:
            temporary_lake = Lake(scratch)
            load = Load(lake, temporary_lake, keep_versions=ingest.keep_versions)
            reports = _load(ingest, load)
            parts += temporary_lake.parts(temporary_lake.articles)
            lakes.append(temporary_lake)
        planner = Planner(
            table,
            recovered=set(read_outcomes(leftovers, retry_failed=settings.retry_failed)),
            limit=settings.limit or None,
            retry_failed=settings.retry_failed,
            estimate=True,
            article_parts=parts,
            superseded=Tombstones(*lakes),
        )
        for _ in planner.batches():
            pass
    template = chat_template(table.recipe, table.model, endpoint.base_url)
    return _estimate(planner.plan, template, endpoint, table, reports, settings)


def _load(ingest: IngestSettings, load: Load) -> list[SourceReport]:
    sources = sources_of(ingest)
    loading = load_options(ingest, load.before, sources)
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
    template_tokens = template.constant_tokens + estimate_tokens(table.recipe.article)
    prompt = (plan.prompt_tokens or 0) + plan.to_request * template_tokens
    completion = plan.to_request * template.max_output_tokens
    largest_call = Usage(plan.longest_prompt + template_tokens, 0, template.max_output_tokens)
    return Estimate(
        rows_in=sum(report.rows_in for report in reports),
        duplicates=sum(report.duplicates for report in reports),
        rejected=sum(report.rejected for report in reports),
        not_read=[report.error for report in reports if report.error],
        articles=plan.articles,
        reused=plan.reused + plan.to_copy + plan.recovered,
        failed=plan.failed,
        left=plan.left,
        calls=plan.to_request,
        prompt_tokens=prompt,
        completion_tokens=completion,
        cost_usd=_cost(price, prompt, plan.to_request, largest_call) if price else None,
        quota_minutes=_quota_minutes(settings, plan.to_request, prompt + completion),
        budget_usd=settings.budget_usd or None,
        model=table.model,
        recipe=table.recipe.name,
        endpoint=endpoint.describe(),
    )


def _quota_minutes(settings: SummarizeSettings, calls: int, tokens: int) -> float | None:
    quotas = ((calls, settings.rpm), (tokens, settings.tpm))
    return max((amount / per_minute for amount, per_minute in quotas if per_minute), default=None)


def _cost(price: Price, prompt_tokens: int, calls: int, largest_call: Usage) -> float:
    """Return the cost of all calls in US dollars, at the rates of the call with the longest prompt.

    Some models charge more per token for long prompts, so the sum of all prompts cannot be priced
    as if it were one.
    """
    per_call = price.cost(Usage())
    longest_prompt = price.cost(Usage(largest_call.prompt)) - per_call
    completion = price.cost(largest_call) - longest_prompt - per_call
    per_prompt_token = longest_prompt / largest_call.prompt
    return calls * (per_call + completion) + prompt_tokens * per_prompt_token
