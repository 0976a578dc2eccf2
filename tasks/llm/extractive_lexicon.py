"""The word lists behind the extractive answers: stop words by language, and words by category."""

from typing import Final

STOP_WORDS: Final[dict[str, frozenset[str]]] = {
    "en": frozenset(
        """a about above across after again against ago all almost along already also although
        always am among an and another any anything are aren't around as asked at away back be
        became because become been before being below between both but by came can can't cannot
        come could couldn't did didn't do does doesn't doing don't done down during each either
        else enough even ever every few first following for from further get gets getting give
        given go going good got had hadn't has hasn't have haven't having he he's her here hers
        herself him himself his how however i i'd i'll i'm i've if in including indeed instead
        into is isn't it it's its itself just know known last later least less let like likely
        made make makes making many may maybe me might mine more most much must my myself near
        need never new next no nor not nothing now of off often on once one ones only onto or
        other others our ours ourselves out over own part people per perhaps put quite rather
        really s said same saw say saying says second see seem seen several shall she should
        shouldn't since so some someone something soon still such t take taken than that that's
        the their theirs them themselves then there there's therefore these they they're thing
        things think this those though three through throughout thus time to today told too took
        toward towards two under until up upon us use used using very via want was wasn't way we
        we're well went were weren't what what's when where whether which while who who's whole
        whom whose why will with within without won't would wouldn't yes yesterday yet you
        you're your yours yourself lot able actually bit called different kind et al day days year
        years week weeks month months monday tuesday wednesday thursday friday saturday sunday
        january february march april june july august september october november december according
        """.split()
    ),
    "de": frozenset(
        """aber alle allem allen aller alles als also am an andere anderen auch auf aus bei beim
        bin bis bist da damit dann das dass dem den denn der des dessen deshalb die dies diese
        diesem diesen dieser dieses doch dort du durch ein eine einem einen einer eines einige
        er es etwa etwas euch für gab gegen gibt haben hat hatte hatten hier hin hinter ich ihm
        ihn ihnen ihr ihre ihrem ihren ihrer im in indem ins ist ja jede jedem jeden jeder jedoch
        kann kein keine können konnte man manche mehr meist mit muss nach nicht nichts noch nun
        nur ob oder ohne schon sehr sein seine seinem seinen seiner seit sich sie sind so sollte
        sondern sowie über um und uns unter viel viele vom von vor war waren was weil welche
        wenn werden wie wieder wir wird wo wurde wurden zu zum zur zwar zwei zwischen
        """.split()
    ),
    "fr": frozenset(
        """à ai ainsi alors après au aucun aussi autre autres aux avant avec avoir c'est ce cela
        ces cet cette chez comme d'un d'une dans de depuis des deux dont du elle elles en encore
        entre est et été être eu fait font il ils je l'on la le les leur leurs lors lui mais même
        mes moins mon ne ni nos notre nous on ont ou où par parce pas pendant peu peut plus pour
        qu'il que quel qui sa sans se selon sera ses si son sont sous sur ta tandis tous tout
        toute très tu un une vers vos votre vous y était
        """.split()
    ),
    "es": frozenset(
        """a al algo ante antes así aunque bajo cada como con contra cual cuando de del desde
        donde dos durante e el ella ellas ellos en entre era es esa ese eso esta está están este
        esto estos fue fueron ha hace han hasta hay la las le les lo los más me mi mientras muy
        nada ni no nos o otra otro otros para pero poco por porque puede que qué quien se según
        ser si sí sido sin sobre son su sus también tan tiene todo todos tras un una uno y ya
        """.split()
    ),
    "it": frozenset(
        """a ad al alla alle anche ancora che chi ci come con contro così cui da dai dal dalla
        degli dei del della delle dello di dopo dove due e è ed era essere fra già gli ha hanno
        i il in io la le lo loro ma mentre molto nei nel nella nelle non o ogni per perché più
        poi prima quando quella quello questa questo se sempre si sia sono stata stato su sua
        sui sul sulla suo tra tutti un una uno
        """.split()
    ),
    "pt": frozenset(
        """a ainda ao aos após as até com como contra da das de depois do dois dos e é ela ele
        eles em entre era essa esse esta está este eu foi foram há isso já la mais mas mesmo
        muito na não nas nem no nos nós num numa o os ou para pela pelas pelo pelos por porque
        quando que quem são se segundo sem ser será seu seus só sobre sua suas também tem um uma
        """.split()
    ),
    "nl": frozenset(
        """aan al alle als ander bij daar dan dat de deze die dit doch doen door dus een en er
        ge geen had heb hebben heeft hem het hij hoe hun iets ik in is ja je kan kunnen maar me
        meer men met mij mijn moet na naar niet niets nog nu of om omdat onder ons ook op over
        te tegen toch toen tot u uit uw van veel voor want waren was wat we wel werd wezen wie
        wij wil worden wordt zal ze zei zich zij zijn zo zonder zou
        """.split()
    ),
}

HAN_FUNCTION_CHARACTERS: Final = frozenset(
    "的了是在和与與及或而且但并並也都就又还還很更最不没沒有无無这這那哪其之于於以为為被把将將对對从從向到由"
    "等们們我你您他她它自己个個些此该該各每某所者着著过過得地上下中里内內外前后後时時年月日号號会會能可要"
    "应應须須已曾正才只仍再则則若如因故使让讓给給做说說称稱表示进進行通吗嗎呢吧啊什么麼怎样樣一二三四五六七"
    "八九十两兩第零百千万萬亿億来來去出"
)

HAN_STOP_TERMS: Final = frozenset(
    """任何 目前 情况 相关 今年 去年 今日 昨日 今天 昨天 方面 问题 部分 情形 非常 许多 很多 一些
    讨论 相信 知道 觉得 認為 认为 希望 同时 引述 任何人 具体 主要 重要 结果 目的
    """.split()
)

CATEGORY_ALIASES: Final[dict[str, str]] = {
    "sports": "sport", "体育": "sport", "體育": "sport",
    "tech": "technology", "it": "technology", "科技": "technology", "技术": "technology",
    "finance": "business", "economy": "business", "economics": "business",
    "经济": "business", "财经": "business", "商业": "business",
    "international": "world", "global": "world", "foreign": "world", "国际": "world",
    "arts": "culture", "art": "culture", "entertainment": "culture", "文化": "culture",
    "娱乐": "culture", "medicine": "health", "medical": "health", "健康": "health",
    "医学": "health", "climate": "environment", "nature": "environment", "环境": "environment",
    "crime": "law", "legal": "law", "justice": "law", "法律": "law", "political": "politics",
    "government": "politics", "政治": "politics", "scientific": "science", "research": "science",
    "academic": "science", "科学": "science", "schools": "education", "教育": "education",
    "war": "conflict", "military": "conflict", "军事": "conflict", "disasters": "disaster",
    "accident": "disaster", "灾难": "disaster", "正面": "positive", "负面": "negative",
}  # fmt: skip

CATEGORY_STEMS: Final[dict[str, tuple[str, ...]]] = {
    "politics": tuple(
        """election electe presid parlia govern minist senat congre party parties candid politi
        democr republ vote voter votes voting campai policy 总统 政府 选举 政治 议会 总理 政党 国会
        """.split()
    ),
    "science": tuple(
        """scient resear study studie experi theory biolog physic chemis specie astron telesc
        hypoth labora method partic analys space planet 研究 科学 实验 理论 方法 分析 卫星 彗星
        """.split()
    ),
    "technology": tuple(
        """techno softwa comput intern online digita hacker websit google apple micros networ
        algori robot mobile data servic 技术 软件 网络 电脑 系统 算法 互联 手机 数据 智能 安全
        """.split()
    ),
    "business": tuple(
        """compan market econom busine stock invest bank banks profit trade share shares indust
        financ billio compet sales price prices oil 经济 企业 市场 公司 银行 投资 贸易 金融 产业
        """.split()
    ),
    "sport": tuple(
        """sport sports match team teams league champi footba soccer cricke olympi player coach
        goal goals tourna medal athlet stadiu paraly score 比赛 球队 冠军 联赛 奥运 运动 选手 球员
        """.split()
    ),
    "culture": tuple(
        """film films movie music album artist art arts museum novel author book books theatr
        actor festiv cultur song band perfor 文化 电影 音乐 艺术 作家 小说 博物 演出 文学 汉字
        """.split()
    ),
    "health": tuple(
        """health hospit diseas patien doctor medica medici virus vaccin cancer clinic treatm
        infect drug drugs covid pandem 患者 治疗 疾病 医院 病毒 疫情 临床 肺炎 疫苗 健康 新冠
        """.split()
    ),
    "environment": tuple(
        """enviro climat pollut emissi carbon warmin conser forest wildli energy glacie ecolog
        species ocean 环境 气候 污染 生态 排放 能源 森林 保护
        """.split()
    ),
    "law": tuple(
        """court courts judge law laws lawyer police arrest charge trial prison crime crimin
        murder suspec convic lawsui justic legal 法院 警方 犯罪 法律 被捕 嫌疑 判决 司法 逮捕
        """.split()
    ),
    "world": tuple(
        """united nation foreig minist embass intern border treaty countr diplom refuge summit
        ambass global 国际 联合 外交 世界 大使 条约 边境 各国
        """.split()
    ),
    "education": tuple(
        """school studen teache univer educat colleg campus pupils learni 学校 学生 教育 大学 教师
        """.split()
    ),
    "conflict": tuple(
        """war attack milita army troops soldie bomb bombs bombin missil weapon rebel rebels
        killed terror airstr 战争 军队 袭击 武器 导弹 士兵 爆炸
        """.split()
    ),
    "disaster": tuple(
        """earthq flood floodi hurric storm fire fires crash crashe explos disast surviv rescue
        victim evacua tsunam 地震 洪水 台风 火灾 坠毁 灾难 事故 救援
        """.split()
    ),
    "positive": tuple(
        """succes win won award celebr improv hope happy best great benefi growth victor 成功
        获奖 提高 改善 庆祝 胜利 良好
        """.split()
    ),
    "negative": tuple(
        """death deaths killed attack crisis fail failed failur injure damage threat fear loss
        victim accuse protes 死亡 袭击 危机 失败 伤亡 损失 威胁 抗议
        """.split()
    ),
}
