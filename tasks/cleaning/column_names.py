"""Usual names of columns in the languages that data comes in, to what they mean."""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

# Best first; compared without case and separators ("Full_Text" is "fulltext").
_ALIASES = {
    "body": (
        "body text content articlebody article articletext articlecontent fulltext maintext "
        "maincontent bodytext textbody contenttext plaintext rawtext cleantext cleanedtext story "
        "storytext document documenttext doctext paragraphs sentences passage bodyhtml "
        "contenthtml html markdown contents texts source "
        "inhalt volltext artikel artikeltext beitrag haupttext texte contenu corps corpsdutexte "
        "texto contenido cuerpo articulo artículo textocompleto testo contenuto corpo articolo "
        "conteudo conteúdo artigo tekst inhoud текст содержание статья полныйтекст контент "
        "正文 内容 文章 全文 新闻内容 文本 文章内容 原文 正文内容 "
        "本文 記事 記事本文 本文内容 본문 내용"
    ),
    "title": (
        "title headline heading articletitle pagetitle titletext newstitle subject caption titel "
        "überschrift schlagzeile titre titular titulo título titolo título manchete kop koptekst "
        "заголовок название тема 标题 題目 题目 标题名 新闻标题 文章标题 タイトル 見出し 題名 제목"
    ),
    "reference_summary": (
        "referencesummary humansummary goldsummary goldensummary reference summary summaries "
        "highlights tldr target targets gold abstract zusammenfassung kurzfassung résumé resume "
        "resumen riassunto sommario resumo samenvatting аннотация краткоесодержание резюме "
        "摘要 概要 要約 总结 概括 요약"
    ),
    "url": (
        "url link permalink uri href articleurl sourceurl pageurl weburl canonicalurl "
        "originalurl newsurl adresse lien enlace indirizzo ссылка адрес 链接 网址 地址 リンク 링크"
    ),
    "author": (
        "author authors byline creator creators authorname authornames writer writtenby "
        "journalist speaker autor autoren verfasser auteur auteurs autores autore autori "
        "schrijver автор авторы 作者 记者 著者 筆者 저자 기자"
    ),
    "published_at": (
        "publishedat published datepublished publishedon publisheddate publishdate "
        "publicationdate publishtime publicationtime pubdate pubdatetime pubtime date datetime "
        "postedat posteddate postdate createdat created creationdate issued timestamp time ts "
        "datum veröffentlicht veröffentlichtam erschienen erscheinungsdatum datepublication "
        "datedepublication fecha fechapublicacion fechadepublicación data datapubblicazione "
        "datadepublicação publicatiedatum дата датапубликации опубликовано "
        "日期 发布时间 发布日期 时间 发表时间 公開日 日付 日時 掲載日 날짜 작성일 "
        "year jahr année año anno ano 年份"
    ),
    "language": (
        "language lang languagecode langcode locale sprache langue idioma lingua taal язык "
        "语言 語言 言語 언어"
    ),
    "category": (
        "category section topic label categories sections topics subjectarea newsdesk genre tags "
        "kategorie rubrik ressort thema catégorie categorie rubrique categoría categoria sección "
        "seccion sezione seção rubriek категория рубрика раздел 类别 分类 栏目 频道 類別 カテゴリ "
        "カテゴリー 카테고리 foldercategory"
    ),
    "article_id": (
        "articleid id uid guid paperid docid documentid storyid newsid pageid recordid itemid "
        "uuid doi key artikelid identifiant nr идентификатор 编号 文章编号 記事id 번호"
    ),
}  # fmt: skip
ALIASES = {target: tuple(dict.fromkeys(names.split())) for target, names in _ALIASES.items()}
"""For each canonical column the usual names of it, see `plain`, best first."""
ORDER = (
    "body", "title", "url", "author", "published_at", "language", "category", "article_id",
    "reference_summary",
)  # fmt: skip
"""The canonical columns that a source's column can be, as they are shown."""
ALONE = ("summary", "abstract", "description", "zusammenfassung", "résumé", "resumen", "riassunto",
         "resumo", "摘要", "要約", "概要", "аннотация", "요약")  # fmt: skip
"""What is the body where there is no other: somebody's data may be nothing but abstracts."""
AMBIGUOUS = frozenset("source article document passage story html artikel articulo".split())
"""Names of bodies that mean a publisher, a number or a file as often."""
NAME = ("name", "fullname")
"""The name of the article, or of somebody: its values tell."""
WRAPPERS = frozenset(
    "_source article articles attributes content data doc docs document entry fields item news "
    "node object page payload post properties record result row story".split()
)
"""Columns that hold a whole article, in small letters: their ids are its own."""
PEOPLE = frozenset("author authors byline creator journalist person user".split())
"""Columns that hold somebody."""
OTHERS = PEOPLE | frozenset(
    "avatar brand category channel company feed icon image images logo media organisation "
    "organization owner parent photo picture provider publication publisher related section site "
    "source thumbnail video website".split()
)
"""Columns that hold somebody or something else than the article."""
_GENERIC = re.compile(
    r"(column|col|field|var|unnamed|spalte|feld|colonne|columna|c|f|v|x|列|字段)?\d*|[a-z]"
)
_NOT_PUBLISHED = re.compile(
    r"upd|modif|crawl|fetch|scrap|retriev|access|index|birth|expir|delet|download|changed|ingest"
)
_AN_ID = re.compile(r".*(id|key|nr|no|number|num|code|uuid|guid)$")


@lru_cache(maxsize=4096)
def plain(name: str) -> str:
    """A name without case and separators."""
    return re.sub(r"[\W_]+", "", name.casefold())


def named(names: Sequence[str], target: str | Iterable[str]) -> list[str]:
    """Return those of a source's columns whose names mean a canonical column, best first.

    Names of columns go before those of fields in a nested column (``article.text``).
    """
    aliases = ALIASES[target] if isinstance(target, str) else tuple(target)
    places = {alias: place for place, alias in enumerate(aliases)}
    found = []
    for number, name in enumerate(names):
        depth = 0 if plain(name) in places else name.count(".")
        place = places.get(plain(name.rpartition(".")[2] if depth else name))
        if place is not None:
            found.append((depth, place, number, name))
    return [name for *_, name in sorted(found)]


def is_known(name: str) -> bool:
    """Tell a usual name of a column: a header line has some, a line of data hardly."""
    return plain(name) in _KNOWN or plain(name.rpartition(".")[2]) in _KNOWN


def is_generic(name: str) -> bool:
    """Tell a name that says nothing: ``column_1``, ``Unnamed: 0``, ``f0``."""
    return _GENERIC.fullmatch(plain(name)) is not None


def may_be_published(name: str) -> bool:
    """Tell whether dates in a column of this name may be those of publication."""
    return _NOT_PUBLISHED.search(name.casefold()) is None


def may_be_id(name: str) -> bool:
    """Tell whether unique values in a column of this name may be ids."""
    return is_generic(name) or _AN_ID.fullmatch(plain(name)) is not None


_KNOWN = frozenset(name for names in ALIASES.values() for name in names) | {*ALONE, *NAME}
