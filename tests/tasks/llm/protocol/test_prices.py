import genai_prices
import pytest
from genai_prices import data_snapshot
from hypothesis import given
from hypothesis import strategies as st

from article_flows.tasks.llm.protocol.chat import NO_USAGE, Usage
from article_flows.tasks.llm.protocol.prices import FREE, Price, Rates

OPENAI = "https://api.openai.com/v1"
GOOGLE = "https://generativelanguage.googleapis.com/v1beta/openai"
MODELS = [
    ("gpt-4o-mini", OPENAI),
    ("gpt-4.1", OPENAI),
    ("o3", OPENAI),
    ("claude-sonnet-4-5", "https://api.anthropic.com/v1"),
    ("gemini-2.5-pro", GOOGLE),
    ("gemini-1.5-flash", GOOGLE),
    ("deepseek-chat", "https://api.deepseek.com/v1"),
    ("sonar-pro", "https://api.perplexity.ai"),
    ("openai/gpt-4o-mini", "https://openrouter.ai/api/v1"),
    ("gpt-4o-mini", ""),
]


def listed(model: str, base_url: str, usage: Usage) -> float:
    """Return what genai-prices itself calculates."""
    calculated = genai_prices.calc_price(
        genai_prices.Usage(
            input_tokens=usage.prompt,
            cache_read_tokens=usage.cached,
            output_tokens=usage.completion,
        ),
        model_ref=model,
        provider_api_url=base_url or None,
    )
    return float(calculated.total_price)


@given(
    st.sampled_from(MODELS),
    st.one_of(
        st.integers(1, 2_000_000), st.sampled_from([128_000, 128_001, 200_000, 200_001, 272_001])
    ),
    st.floats(0, 1),
    st.integers(0, 100_000),
)
def test_a_request_costs_what_genai_prices_calculates(
    model: tuple[str, str], prompt: int, share_cached: float, completion: int
) -> None:
    usage = Usage(prompt, int(prompt * share_cached), completion)
    price = Price.for_model(*model)
    assert price is not None
    assert price.cost(usage) == pytest.approx(listed(*model, usage), rel=1e-9)


def test_every_model_of_openai_and_google_has_the_price_in_the_table() -> None:
    providers = {entry.id: entry for entry in data_snapshot.get_snapshot().providers}
    compared = 0
    for provider, url in (("openai", OPENAI), ("google", GOOGLE)):
        for model in providers[provider].models:
            price = Price.for_model(model.id, url)
            for usage in (Usage(1000, 400, 500), Usage(300_000, 250_000, 9000)):
                if price is not None:
                    assert price.cost(usage) == pytest.approx(listed(model.id, url, usage))
                    compared += 1
    assert compared > 100


def test_the_tier_depends_on_the_prompt_and_applies_to_every_token() -> None:
    price = Price((Rates(0, 1e-6, 1e-7, 2e-6), Rates(200_000, 2e-6, 2e-7, 4e-6)))
    assert price.cost(Usage(200_000, 0, 100)) == pytest.approx(0.2 + 0.0002)
    assert price.cost(Usage(200_001, 1, 100)) == pytest.approx(0.4 + 2e-7 + 0.0004)


def test_a_configured_price_applies_to_cached_tokens_by_default() -> None:
    usage = Usage(1_000_000, 500_000, 1_000_000)
    assert Price.per_million(1.0, 2.0).cost(usage) == pytest.approx(3.0)
    assert Price.per_million(1.0, 2.0, 0.5).cost(usage) == pytest.approx(2.75)
    assert Price.per_million(1.0, 2.0, 0.0).cost(usage) == pytest.approx(2.5)
    assert FREE.cost(usage) == 0


@pytest.mark.parametrize(
    ("model", "base_url"),
    [
        ("", ""),
        ("no-such-model", ""),
        ("no-such-model", OPENAI),
        ("openai/gpt-4o-mini", ""),
        ("llama3.1:8b", "http://localhost:11434/v1"),
        ("extractive-v1", "http://127.0.0.1:1/v1"),
        ("\ud800", "not a url"),
    ],
)
def test_an_unknown_model_has_no_price(model: str, base_url: str) -> None:
    assert Price.for_model(model, base_url) is None


def test_a_known_model_at_an_unknown_url_has_its_makers_price() -> None:
    at_proxy = Price.for_model("gpt-4o-mini", "https://llm-proxy.example/v1")
    assert at_proxy == Price.for_model("gpt-4o-mini", OPENAI)


def test_zero_tokens_cost_only_the_price_per_request() -> None:
    assert Price.per_million(1, 1).cost(NO_USAGE) == 0
    sonar = Price.for_model("sonar", "https://api.perplexity.ai")
    assert sonar is not None
    assert sonar.cost(NO_USAGE) == pytest.approx(
        listed("sonar", "https://api.perplexity.ai", NO_USAGE)
    )
    assert sonar.cost(NO_USAGE) > 0
