import json

import pyarrow as pa
import pytest

from article_flows.tasks.cleaning.filters.boilerplate import MAX_NOTICE_CHARS, notice_of
from article_flows.tasks.cleaning.filters.rules import Rules, rejected_bodies
from tests.support import ROOT

DEV = ROOT.parent / "shared" / "data" / "dev"

NOTICES = {
    "a page-not-found notice": [
        "404 Not Found",
        "Page not found. The page you are looking for might have been removed, had its name "
        "changed, or is temporarily unavailable.",
        "Sorry, the page you requested could not be found. Go back to the home page.",
        "Seite nicht gefunden. Die gesuchte Seite existiert nicht mehr.",
        "La page que vous cherchez n'existe pas.",
        "Página no encontrada",
        "您访问的页面不存在，返回首页",
        "Страница не найдена",
    ],
    "asks to enable JavaScript": [
        "Please enable JavaScript to view this page.",
        "JavaScript is disabled in your browser. Please enable JavaScript to continue.",
        "Bitte aktivieren Sie JavaScript in Ihrem Browser. JavaScript ist deaktiviert.",
    ],
    "cookie notice": [
        "We use cookies to improve your experience. By continuing to use this site you agree to "
        "our use of cookies. Accept all",
        "Diese Website verwendet Cookies, um Ihnen ein besseres Erlebnis zu bieten.",
        "Ce site utilise des cookies.",
        "We use cookies. Accept all cookies to continue.",
        "Please accept our cookies to view this page.",
    ],
    "captcha or access denied": [
        'Access Denied. You don\'t have permission to access "http://x.com/" on this server.',
        "Please verify you are a human. Checking your browser before accessing example.com.",
        "Zugriff verweigert",
    ],
    "login or paywall notice": [
        "You must be logged in to view this content. Already have an account? Log in",
        "Subscribe to continue reading",
        "请先登录",
    ],
    "test page": ["Friday, March 5, 2021\n\nThis is a test page! It should not be reviewed."],
    "nothing but a date": ["Monday, March 15, 2021\xa0", "Published: 5 May 2020"],
}


@pytest.mark.parametrize(
    ("kind", "text"), [(kind, text) for kind, texts in NOTICES.items() for text in texts]
)
def test_a_boilerplate_page_is_rejected(kind: str, text: str) -> None:
    assert rejected_bodies(pa.array(["A real article.", text]), Rules()) == [
        (1, f"boilerplate: {kind}")
    ]


ARTICLES = [
    "We use cookies. Accept all cookies to continue the story of how they came to be, she said.",
    "Accept all cookies to win: a game that teaches children what they give away.",
    "The European Court of Justice ruled on Tuesday that websites must get active consent before "
    "they set cookies. The case was brought by a German consumer group.",
    'Google will stop supporting cookies. "We use cookies less," a spokesman said on Monday.',
    "Researchers found that 404 people were injured in the storm, officials said Monday.",
    "We use cookies as bait: children who waited received two. The results were in Nature.",
    "Police blocked access to the square. You do not have to register to vote in North Dakota.",
    "JavaScript creator Brendan Eich resigned as head of Mozilla on Thursday.",
    "We propose a test page layout model.",
    "本文研究了验证码识别方法，提出了一种新的模型。",
    "May 2021 saw record rain in Spain.",
    "1234 5678",
    "2021",
    "x",
]


@pytest.mark.parametrize("text", ARTICLES)
def test_an_article_about_notices_is_kept(text: str) -> None:
    assert rejected_bodies(pa.array([text]), Rules()) == []


def test_a_long_page_is_kept() -> None:
    notice = "We use cookies to improve this site. "
    assert notice_of(notice) == "cookie notice"
    assert notice_of(notice * (MAX_NOTICE_CHARS // len(notice) + 1)) is None


@pytest.mark.skipif(not DEV.exists(), reason="needs the development data")
def test_abstracts_are_not_boilerplate() -> None:
    chinese = (DEV / "csl" / "ts_dev.tsv").read_text().splitlines()
    texts = [text for line in chinese for text in line.split("\t")]
    for line in (DEV / "scitldr" / "train.jsonl").read_text().splitlines():
        row = json.loads(line)
        texts += [*row["target"], " ".join(row["source"])]
    assert rejected_bodies(pa.array(texts), Rules(min_chars=0)) == []
