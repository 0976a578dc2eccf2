"""A recipe of your own, in Chinese, on the Chinese articles of the demo."""

from pathlib import Path

import pandas as pd

from article_flows import PipelineSettings, article_pipeline, current_table

LAKE = "lake-chinese"
RECIPE = Path(__file__).with_name("news_zh.yaml")


def main() -> None:
    """Enrich the demo articles, then read the Chinese ones from the table."""
    article_pipeline(PipelineSettings(lake=LAKE, recipe=str(RECIPE), base_url="mock"))
    table = pd.read_parquet(current_table(LAKE, "news_zh"))
    chinese = table[table["language"] == "zh"]
    print(chinese[["title", "summary_zh", "topic"]].head().to_string(index=False))


if __name__ == "__main__":
    main()
