import pytest

from article_flows.tasks.reading.web.extract import Page, extract_article
from article_flows.tasks.reading.web.html_article import html_article
from tests.tasks.reading.web.web_support import page

DAY = '<meta property="article:published_time" content="2024-05-06">'
MOMENT = "2024-05-06T07:08:09Z"


@pytest.mark.parametrize(
    ("heads", "date"),
    [
        (f'<meta property="article:published_time" content="{MOMENT}">', MOMENT),
        (f'<script type="application/ld+json">{{"datePublished": "{MOMENT}"}}</script>', MOMENT),
        (
            f'{DAY}<script type="application/ld+json">{{"datePublished":"{MOMENT}"}}</script>',
            MOMENT,
        ),
        (
            f'{DAY}<body><time datetime="2024-05-07T01:02">x</time><time datetime="{MOMENT}">y',
            MOMENT,
        ),
        (
            f'{DAY}<body><time datetime="2024-05-06 23:59">x</time>'
            f'<time itemprop="datePublished" datetime="{MOMENT}">y</time>',
            MOMENT,
        ),
        (DAY, "2024-05-06"),
        ('<meta name="x" content="y">', None),
    ],
)
def test_the_time_of_day_is_kept(heads: str, date: str | None) -> None:
    html = page("The bridge").replace(
        '<meta property="article:published_time" content="2020-05-04">', heads
    )
    assert html_article(html, {}).get("date") == date
    fetched = extract_article(Page("http://example.org/a", "text/html", "utf-8", html.encode()))
    assert isinstance(fetched, dict)
    assert fetched.get("date") == date
