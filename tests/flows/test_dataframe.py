"""`summarize_frame` returns each row with its answer, from scripts, notebooks and flows."""

import asyncio
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from prefect import flow

from article_flows import (
    IngestSettings,
    OutputField,
    Recipe,
    StoppedRun,
    UserError,
    ingest_articles,
    summarize_frame,
)
from article_flows.flows.pipeline import article_pipeline
from article_flows.tasks.checks.verify import verify_lake
from article_flows.tasks.common.errors import UsageError
from article_flows.tasks.lake.lake import Lake
from article_flows.tasks.mock_endpoint.faults import Faults
from article_flows.tasks.settings import PipelineSettings
from article_flows.tasks.summarize.dataframe_rows import answers_of, frame_rows
from article_flows.tasks.summarize.open_job import open_table
from benchmarks.servers.endpoints import MockEndpoint
from tests.support import read_rows

pytestmark = pytest.mark.usefixtures("prefect_server")


def summarized(frame: Any, *arguments: Any, **settings: Any) -> Any:
    """Call `summarize_frame`, without the column types of the stubs."""
    return summarize_frame(frame, *arguments, **settings)


def articles(count: int, first: int = 0) -> Any:
    """Articles that are all different, with an index that is not their position."""
    numbers = range(first, first + count)
    return pd.DataFrame(
        {
            "headline": [f"Report {n}" for n in numbers],
            "text": [
                f"The council met on day {n}. It voted to build bridge {n}. "
                f"Residents of district {n} had asked for it for years."
                for n in numbers
            ],
        },
        index=[f"row-{n}" for n in numbers],
    )


def test_each_row_gets_its_answer() -> None:
    frame = articles(20).sample(frac=1, random_state=1)
    before = frame.copy()

    result = summarized(frame, "digest", base_url="mock")

    assert result.index.equals(frame.index)
    assert list(result.columns[:3]) == ["headline", "text", "status"]
    assert (result["status"] == "answered").all()
    for row in result.itertuples():
        assert f"day {row.headline.split()[1]}." in row.text
        number = row.headline.split()[1]
        assert f" {number}" in row.summary
        assert isinstance(row.keywords, list)
    assert result["attempts"].tolist() == [1] * 20
    assert str(result["prompt_tokens"].dtype) == "Int64"
    pd.testing.assert_frame_equal(frame, before)


def test_rejected_failed_and_repeated_rows_are_returned_and_cost_once() -> None:
    frame = articles(4).reset_index(drop=True)
    frame.loc[1, "text"] = None
    frame = pd.concat([frame, frame.iloc[[0]]])
    with MockEndpoint() as endpoint:
        result = summarized(
            frame, base_url=endpoint.base_url, model="m", price_in=1.0, price_out=1.0
        )
        paid = endpoint.stats()

    assert result["status"].tolist() == ["answered", "rejected", *["answered"] * 3]
    assert result["error_message"].tolist() == [None, "empty body", None, None, None]
    assert result["summary"].iloc[0] == result["summary"].iloc[4]
    assert (result["cost_usd"].iloc[4], result["prompt_tokens"].iloc[4]) == (0, 0)
    assert result["prompt_tokens"].sum() == paid["billed_prompt_tokens"]


def test_a_row_that_the_endpoint_rejects_has_the_reason() -> None:
    faults = Faults(seed=3, content_filter=1.0)
    with MockEndpoint(faults=faults) as endpoint:
        result = summarized(articles(3), base_url=endpoint.base_url, model="m")

    assert result["status"].tolist() == ["failed"] * 3
    assert result["error_class"].tolist() == ["content_filter"] * 3
    assert result["error_message"].notna().all()
    assert result["summary"].isna().all()
    assert result["attempts"].tolist() == [1] * 3


def test_with_a_lake_answers_are_reused_and_only_rows_of_the_frame_are_requested(
    tmp_path: Path,
) -> None:
    lake = tmp_path / "lake"
    with MockEndpoint() as endpoint:
        known: dict[str, Any] = {"base_url": endpoint.base_url, "model": "m", "lake": lake}
        some = summarized(articles(30), limit=10, **known)
        assert some["status"].value_counts().to_dict() == {"left": 20, "answered": 10}
        other = summarized(articles(5, first=100), **known)
        asked = endpoint.stats()["answered"]
        every = summarized(articles(30), **known)
        stats = endpoint.stats()

    assert (other["status"] == "answered").all()
    assert asked == 15
    assert (every["status"] == "answered").all()
    assert (stats["answered"], stats["answered_twice"]) == (35, 0)
    assert len(read_rows(lake / "current" / "summary")) == 35
    assert verify_lake(Lake(str(lake))).passed


def test_the_cost_of_a_text_is_shown_if_the_lake_has_it_under_another_id(tmp_path: Path) -> None:
    lake, frame = str(tmp_path / "lake"), articles(4)
    ingest_articles(IngestSettings(sources=[frame.assign(id=["a", "b", "c", "d"])], lake=lake))
    with MockEndpoint() as endpoint:
        result = summarized(
            pd.concat([frame, frame]).assign(id=range(8)),
            base_url=endpoint.base_url,
            model="m",
            lake=lake,
            price_in=1.0,
            price_out=1.0,
        )
        paid = endpoint.stats()

    assert paid["answered"] == 4
    assert result["prompt_tokens"].sum() == paid["billed_prompt_tokens"]
    assert result["attempts"].tolist() == [1] * 4 + [0] * 4
    assert (result["cost_usd"].iloc[:4] > 0).all()


def test_an_answer_is_found_after_another_call_has_replaced_its_article(tmp_path: Path) -> None:
    lake = str(tmp_path / "lake")
    first, second = (articles(3, first=n).assign(id=["a", "b", "c"]) for n in (0, 10))
    paid = summarized(first, base_url="mock", lake=lake)
    summarized(second, base_url="mock", lake=lake)

    settings = PipelineSettings(sources=[first], lake=lake, base_url="mock")
    table, _ = open_table(settings)
    answers: Any = answers_of(frame_rows(settings, len(first)), table)

    assert answers["status"].tolist() == ["answered"] * 3
    assert answers["summary"].tolist() == paid["summary"].tolist()


def test_columns_named_like_a_result_are_renamed() -> None:
    frame = articles(2).assign(category="news", model=["a", "b"], status=1, article_status=2)

    result = summarized(frame, "digest", base_url="mock")

    assert result["article_model"].tolist() == ["a", "b"]
    assert result["article_status"].tolist() == [2, 2]
    assert result["article_article_status"].tolist() == [1, 1]
    assert result.columns.is_unique
    assert result["article_category"].tolist() == ["news", "news"]
    assert result["model"].nunique() == 1


def test_a_recipe_object_works_like_a_recipe_file() -> None:
    recipe = Recipe(
        name="people",
        instructions="Who is named in it? # not a comment: 'quotes' and \"quotes\"\n- 是",
        temperature=None,
        fields={
            "people": OutputField(type="list", description="Names of people: as they are written"),
            "count": OutputField(type="integer"),
        },
    )

    result = summarized(articles(2), recipe, base_url="mock")

    assert (result["status"] == "answered").all()
    assert set(result["recipe_hash"]) == {recipe.hash("extractive-v1")}
    assert str(result["count"].dtype) == "Int64"


def test_it_works_in_event_loops_and_flows(tmp_path: Path) -> None:
    frame = articles(2)
    lake = str(tmp_path / "lake")

    async def notebook() -> Any:
        return summarized(frame, base_url="mock")

    @flow
    def ours() -> Any:
        return summarized(frame, base_url="mock")["status"].tolist()

    @flow
    async def ours_async() -> int:
        settings = PipelineSettings(sources=[frame], lake=lake)
        return article_pipeline(settings).summarize.answered

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert asyncio.run(notebook())["status"].tolist() == ["answered"] * 2
    assert ours() == ["answered"] * 2
    assert asyncio.run(ours_async()) == 2
    assert set(read_rows(Path(lake) / "articles")["source"]) == {"dataframe"}


def test_frames_of_odd_values_are_enriched_or_rejected_in_one_line() -> None:
    odd = articles(3).assign(
        mixed=[1, "two", {"three": 3}],
        moment=pd.Timestamp("2024-05-01"),
        flag=[True, None, False],
        number=[1.5, np.nan, 3],
        kind=pd.Categorical(["a", "b", "a"]),
        broken=pd.Series(["\ud800", "b", "c"], index=articles(3).index, dtype=object),
    )
    odd["nothing"] = [{}, {}, {}]
    odd[7] = "a column whose name is a number"

    result = summarized(odd, base_url="mock")

    assert (result["status"] == "answered").all()
    assert summarized(odd.iloc[:0], base_url="mock").columns.equals(result.columns)
    half = articles(2).set_axis(pd.Index(["\ud800", "text"], dtype=object), axis=1)
    with pytest.raises(UsageError, match=r"the column '.ud800' is not valid Unicode"):
        summarized(half, base_url="mock")
    twice = pd.concat([articles(2), articles(2)[["text"]]], axis=1)
    with pytest.raises(UsageError, match="has the column text twice"):
        summarized(twice, base_url="mock")
    with pytest.raises(UserError, match=r'no column looks like .* columns=\{"body": "NAME"\}'):
        summarized(pd.DataFrame({"n": [1, 2]}), base_url="mock")
    with pytest.raises(UsageError, match="must be a pandas DataFrame, not Series"):
        summarized(odd["text"], base_url="mock")
    status = Recipe(name="r", instructions="x", fields={"status": OutputField(type="string")})
    with pytest.raises(UsageError, match="has a field status"):
        summarized(odd, status, base_url="mock")
    with pytest.raises(UsageError, match="has no parameter budget; did you mean budget_usd"):
        summarized(odd, base_url="mock", budget=5)
    with pytest.raises(UsageError, match=r"rpm=-5 must be greater than or equal to 0"):
        summarized(odd, base_url="mock", rpm=-5)
    with pytest.raises(UsageError, match="must be a pandas DataFrame, not list"):
        summarized([{"body": "x"}], base_url="mock")
    with pytest.raises(UsageError, match="mirror is not for a DataFrame"):
        summarized(odd, base_url="mock", mirror=True)


def test_a_stopped_run_raises_and_names_the_lake_with_its_answers() -> None:
    with MockEndpoint(Faults(seed=1, insufficient_quota=0.2)) as endpoint:
        known: dict[str, Any] = {"base_url": endpoint.base_url, "model": "m", "max_in_flight": 1}
        with pytest.raises(StoppedRun, match="quota") as ended:
            summarized(articles(60), **known)
        answered = endpoint.stats()["answered"]
    (note,) = ended.value.__notes__
    kept = note.split("kept in ")[1].split(";")[0]
    assert f'summarize_frame(..., lake="{kept}")' in note
    assert 0 < answered < 60

    with MockEndpoint() as endpoint:
        result = summarized(articles(60), **{**known, "base_url": endpoint.base_url}, lake=kept)
        assert endpoint.stats()["answered"] == 60 - answered
    shutil.rmtree(kept)

    assert (result["status"] == "answered").all()


def test_a_run_without_answers_leaves_no_lake_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with MockEndpoint(api_key="right") as endpoint, pytest.raises(UserError, match="key") as ended:
        summarized(articles(3), base_url=endpoint.base_url, model="m")

    assert not hasattr(ended.value, "__notes__")
    assert list(tmp_path.iterdir()) == []


def test_a_spent_budget_leaves_rows_without_an_exception() -> None:
    with MockEndpoint() as endpoint:
        result = summarized(
            articles(30),
            base_url=endpoint.base_url,
            model="m",
            price_in=1_000.0,
            price_out=1_000.0,
            budget_usd=3.0,
        )

    counts = result["status"].value_counts()
    assert counts["left"] > 0
    assert counts.get("answered", 0) > 0
    assert result["cost_usd"].sum() <= 3.0


def test_the_mock_endpoint_is_not_used_silently(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.warns(UserWarning, match="not a language model"):
        summarized(articles(1))
