"""Which of some given labels suits a text best, by the words that go with the label."""

from collections.abc import Mapping
from typing import Any, Final

from tasks.mock_endpoint.extractive.text import terms

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
    """Order labels by how much of a text speaks for each; equals keep their order.

    A label's words are its own and, for the usual categories of news, those of a small lexicon.
    When nothing speaks for any, a label such as "other" or "neutral" comes first.

    Args:
        labels: strings, or values of another type, for which nothing speaks.
        frequencies: how often the text has each term.
    """
    scores = {str(label): _score(label, frequencies) for label in labels}
    if not any(scores.values()):
        return sorted(labels, key=lambda label: str(label).lower() not in _FALLBACKS)
    return sorted(labels, key=lambda label: -scores[str(label)])


def _score(label: Any, frequencies: Mapping[str, int]) -> int:
    if not isinstance(label, str):
        return 0
    words = label.lower().replace("_", " ").replace("/", " ")
    stems = {stem for word in words.split() for stem in _STEMS.get(word, ())}
    return _NAME_WEIGHT * sum(frequencies.get(term, 0) for term in terms(words, "en")) + sum(
        frequencies.get(stem, 0) for stem in stems
    )
