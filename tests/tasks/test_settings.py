"""Settings have bounds, working defaults, and positions in Prefect's form."""

import gc
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydantic import ValidationError

from article_flows.tasks.settings import (
    IngestSettings,
    LakeSettings,
    PipelineSettings,
    SummarizeSettings,
    run_label,
)


def test_defaults_run_the_demo_on_the_mock_endpoint() -> None:
    settings = PipelineSettings()
    assert (settings.sources, settings.base_url, settings.model) == (["demo"], "mock", "")
    assert settings.for_ingest() == IngestSettings()
    assert settings.for_summarize() == SummarizeSettings()


def test_each_flow_gets_its_own_settings_of_a_pipeline() -> None:
    settings = PipelineSettings(lake="/l", sources=["x"], columns=["body=t"], recipe="digest")
    assert settings.for_ingest() == IngestSettings(lake="/l", sources=["x"], columns=["body=t"])
    assert settings.for_summarize() == SummarizeSettings(lake="/l", recipe="digest")


@pytest.mark.parametrize(
    "changes",
    [
        {"lake": ""},
        {"sources": []},
        {"recipe": ""},
        {"base_url": ""},
        {"max_in_flight": 0},
        {"max_in_flight": 10_001},
        {"limit": -1},
        {"batch_size": -1},
        {"batch_size": 5_001},
        {"timeout_s": 0},
        {"timeout_s": float("inf")},
        {"timeout_s": float("nan")},
        {"price_in": -2},
        {"price_out": float("nan")},
        {"client": "requests"},
        {"api_key": "sk-1"},
    ],
)
def test_values_out_of_bounds_are_rejected_by_name(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        PipelineSettings.model_validate(changes)
    assert [error["loc"][0] for error in caught.value.errors()] == list(changes)


@pytest.mark.parametrize("model", [IngestSettings, SummarizeSettings, PipelineSettings])
def test_the_form_describes_and_orders_all_settings(
    model: type[LakeSettings],
) -> None:
    shown = model.model_json_schema()["properties"]
    assert all(
        setting["description"].endswith((".", "body=text", ":8000")) for setting in shown.values()
    )
    positions = [setting["position"] for setting in shown.values()]
    assert len(set(positions)) == len(positions)
    assert min(positions) == shown["lake"]["position"] == 0
    # Prefect's form does not support unions, and would store a secret with the run.
    assert not any("anyOf" in setting or "password" in str(setting) for setting in shown.values())


@pytest.mark.parametrize(
    ("settings", "label"),
    [
        (LakeSettings(), ""),
        (IngestSettings(sources=["a", "b", "c", "d"]), "a, b, c"),
        (SummarizeSettings(recipe="/my/recipes/own.yaml"), "own"),
        (PipelineSettings(recipe="digest.yml"), "digest · demo"),
    ],
)
def test_a_run_is_named_after_its_recipe_and_sources(settings: LakeSettings, label: str) -> None:
    assert run_label(settings) == label


def test_the_name_of_a_run_is_truncated() -> None:
    assert len(run_label(IngestSettings(sources=["x" * 300]))) == 120


def test_a_dataframe_is_a_source_for_as_long_as_its_settings_exist() -> None:
    frame = pd.DataFrame({"body": ["One.", "Two."]})
    chosen = PipelineSettings(sources=(frame, "demo"))
    (spooled, demo) = chosen.source_names
    path = Path(spooled.removeprefix("dataframe:"))

    assert demo == "demo"
    assert pd.read_parquet(path)["body"].tolist() == ["One.", "Two."]
    assert run_label(chosen) == "summary · dataframe, demo"
    assert run_label(chosen.for_ingest()) == "dataframe, demo"
    ingest = chosen.for_ingest()
    del chosen
    gc.collect()
    assert path.exists()
    del ingest
    gc.collect()
    assert not path.exists()


def test_a_dataframe_that_is_not_in_a_list_is_one_source() -> None:
    settings = IngestSettings.model_validate({"sources": pd.DataFrame({"body": ["One."]})})
    assert run_label(settings) == "dataframe"
