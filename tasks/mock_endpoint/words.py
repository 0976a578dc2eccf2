"""Word lists for extractive answers, and the ranking of labels by a text."""

from collections.abc import Mapping
from typing import Any, Final

STOP_WORDS: Final = frozenset(
    """about according after again also although among and another any are around because been
    before being between both but can could did does done down during each even every first for
    from further get give had has have having her here him his how however into its just know last
    like made make many may might more most much must near never new not now off often one only
    other our out over own part people said same say says see she should since some still such
    take than that the their them then there these they things think this those through time two
    under until upon use used using very want was way well were what when where whether which
    while who whose why will with within without would year years yes yet you your
    """.split()
)
"""Frequent English words of three or more letters that are not topics."""
HAN_FUNCTION_CHARACTERS: Final = frozenset(
    "的了是在和与與及或而且但并並也都就又还還很更最不没沒有无無这這那哪其之于於以为為被把将將对對从從向到由"
    "等们們我你您他她它自己个個些此该該各每某所者着著过過得地上下中里内內外前后後时時年月日号號会會能可要"
    "应應须須已曾正才只仍再则則若如因故使让讓给給做说說称稱表示进進行通吗嗎呢吧啊什么麼怎样樣一二三四五六七"
    "八九十两兩第零百千万萬亿億来來去出"
)
STEM_LENGTH: Final = 6
"""Words are compared by this many letters, so that inflected forms match."""
_NAME_WEIGHT: Final = 2
_FALLBACKS: Final = ("other", "others", "none", "unknown", "neutral", "general", "其他", "未知")

_TOPICS: Final = {
    "politics political government 政治": """election electe presid parlia govern minist senat
        congre party parties candid politi democr republ vote voter votes voting campai policy
        总统 政府 选举 政治 议会 总理 政党 国会""",
    "science scientific research academic 科学": """scient resear study studie experi theory
        biolog physic chemis specie astron telesc hypoth labora method partic analys space
        planet 研究 科学 实验 理论 方法 分析 卫星 彗星""",
    "technology tech it 科技 技术": """techno softwa comput intern online digita hacker websit
        google apple micros networ algori robot mobile data servic 技术 软件 网络 电脑 系统 算法
        互联 手机 数据 智能 安全""",
    "business finance economy economics 经济 财经 商业": """compan market econom busine stock
        invest bank banks profit trade share shares indust financ billio compet sales price
        prices oil 经济 企业 市场 公司 银行 投资 贸易 金融 产业""",
    "sport sports 体育 體育": """sport sports match team teams league champi footba soccer
        cricke olympi player coach goal goals tourna medal athlet stadiu paraly score 比赛 球队
        冠军 联赛 奥运 运动 选手 球员""",
    "culture arts art entertainment 文化 娱乐": """film films movie music album artist art arts
        museum novel author book books theatr actor festiv cultur song band perfor 文化 电影
        音乐 艺术 作家 小说 博物 演出 文学 汉字""",
    "health medicine medical 健康 医学": """health hospit diseas patien doctor medica medici
        virus vaccin cancer clinic treatm infect drug drugs covid pandem 患者 治疗 疾病 医院
        病毒 疫情 临床 肺炎 疫苗 健康 新冠""",
    "environment climate nature 环境": """enviro climat pollut emissi carbon warmin conser
        forest wildli energy glacie ecolog species ocean 环境 气候 污染 生态 排放 能源 森林 保护""",
    "law crime legal justice 法律": """court courts judge law laws lawyer police arrest charge
        trial prison crime crimin murder suspec convic lawsui justic legal 法院 警方 犯罪 法律
        被捕 嫌疑 判决 司法 逮捕""",
    "world international global foreign 国际": """united nation foreig minist embass intern
        border treaty countr diplom refuge summit ambass global 国际 联合 外交 世界 大使 条约
        边境 各国""",
}
_STEMS: Final = {name: stems.split() for names, stems in _TOPICS.items() for name in names.split()}


def ranked_labels(labels: list[Any], frequencies: Mapping[str, int]) -> list[Any]:
    """Sort labels by how well they match a text, best first; ties keep their order.

    A label matches by its own words and, for the usual news categories, those of a small lexicon.
    If no label matches, one such as "other" or "neutral" comes first.

    Args:
        labels: The values to rank.
        frequencies: How often each stem occurs in the text.

    Example:
        >>> ranked_labels(["politics", "sport", "other"], {"footba": 3, "league": 1})
        ['sport', 'politics', 'other']
    """
    if not any(_score(label, frequencies) for label in labels):
        return sorted(labels, key=lambda label: str(label).lower() not in _FALLBACKS)
    return sorted(labels, key=lambda label: -_score(label, frequencies))


def _score(label: Any, frequencies: Mapping[str, int]) -> int:
    words = str(label).lower().replace("_", " ").replace("/", " ").split()
    stems = {stem for word in words for stem in _STEMS.get(word, ())}
    own = _NAME_WEIGHT * sum(frequencies.get(word[:STEM_LENGTH], 0) for word in words)
    return own + sum(frequencies.get(stem, 0) for stem in stems)
