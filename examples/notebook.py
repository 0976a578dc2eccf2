# %% [markdown]
# # Summaries for the rows of a DataFrame
# Run it cell by cell in Jupyter or VS Code, or as a script: `python examples/notebook.py`.

# %%
import pandas as pd

from article_flows import summarize_frame

# %%
articles = pd.DataFrame(
    {
        "headline": ["Bridge approved", "River floods old town", "Empty"],
        "text": [
            "The council met on Monday. It voted to build a second bridge. Work begins in May.",
            "The river rose by two metres. Schools were closed. The mayor asked for patience.",
            "",
        ],
    },
    index=["a", "b", "c"],
)

# %%
# The mock endpoint is free and picks sentences. For a real model leave base_url out, set
# OPENAI_API_KEY, and name the model: model="gpt-4.1-mini".
result = summarize_frame(articles, "digest", base_url="mock")
print(result[["headline", "status", "summary", "keywords"]])

# %%
# Rows without an answer say why.
print(result.loc[result["status"] != "answered", ["status", "error_message"]])

# %%
print(f"US dollars: {result['cost_usd'].sum():.4f}")
