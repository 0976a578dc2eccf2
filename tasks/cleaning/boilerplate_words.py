"""The words of notices, as sites put them in several languages."""

from __future__ import annotations

import re


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.IGNORECASE)


# What a site says of itself ("we", "you", "this site"), not what is said of others.
NOTICES = {
    "a page-not-found notice": _any(
        r"^(?:error|http|oops|sorry)?[\s:!,.—-]*404\b.{0,40}$",
        r"^(?:error\s*\d*[\s:—-]*)?(?:page|file|article|document"
        r"|url) (?:was )?not found\b.{0,20}$",
        r"^not found[.!]?$",
        r"\b(?:page|article|url|file|content|resource)s? (?:that )?(?:you(?:'re|’re| are| were)?|"
        r"have)? ?(?:looking for|requested|tried to (?:reach|access))",
        r"^(?:sorry,? (?:but )?)?(?:the|this) (?:requested )?(?:page|url|article|content)\b.{0,60}"
        r"\b(?:not found|n[o']t exist|no longer (?:exists|available)|unavailable"
        r"|has been (?:moved|removed|deleted)|n[o']t available|could not be found"
        r"|cannot be found)",
        r"we (?:can(?:'t|’t|not)|could(?:n't|n’t| not)) find (?:the|that|this|your) page",
        r"^(?:die )?(?:seite|artikel) (?:wurde |konnte )?(?:leider )?nicht gefunden",
        r"die (?:gesuchte|angeforderte|von ihnen) .{0,30}seite",
        r"^page (?:non trouvée|introuvable)\b",
        r"la page (?:que vous (?:cherchez|recherchez|demandez)|demandée)",
        r"^página no encontrada|la página que (?:busca|buscas|solicit)",
        r"^página não encontrada|a página que (?:procura|você)",
        r"^pagina non trovata|la pagina (?:che (?:cerchi|stai cercando)|richiesta)",
        r"^pagina niet gevonden|de (?:gevraagde )?pagina .{0,20}(?:bestaat niet|niet gevonden)",
        r"页面(?:不存在|未找到|没有找到|已删除|无法访问)|您(?:访问|查看|请求)的(?:页面|文章|内容)|頁面不存在",
        r"(?:お探しの|指定された)?ページ(?:は|が)(?:見つかりません|存在しません)",
        r"страница не найдена|запрашиваемая .{0,20}страница",
    ),
    "asks to enable JavaScript": _any(
        r"(?:please )?(?:enable|turn on|activate|allow) (?:your |the )?(?:browser'?s? )?"
        r"java ?script\b.{0,120}$",
        r"\b(?:you|your browser|this (?:site|page|app|website|application)|we)\b.{0,50}"
        r"\b(?:needs?|requires?|supports?|disabled|enable|without)\b.{0,30}\bjava ?script",
        r"java ?script (?:is|seems to be|appears to be|must be|has been|needs to be) "
        r"(?:disabled|required|enabled|not (?:enabled|available)|turned off|blocked)",
        r"java ?script.{0,40}(?:aktivieren|deaktiviert|einschalten)"
        r"|aktivieren sie.{0,40}java ?script",
        r"(?:veuillez )?activer? .{0,30}java ?script|java ?script est (?:désactivé|requis)",
        r"(?:active|activar|habilit\w+) (?:el |o )?java ?script|abilita\w* java ?script",
        r"(?:启用|开启|打开|允许|啟用)\s?java ?script|java ?script\s?(?:未启用|已禁用|を有効)",
        r"включите java ?script",
    ),
    "captcha or access denied": _any(
        r"^(?:error )?(?:403|401|429|451)\b.{0,40}$",
        r"^(?:403 )?(?:access (?:is |was )?(?:denied|blocked|restricted)|forbidden)[.!]?$",
        r"\byou (?:don't|don’t|do not) have (?:permission|access)|access to this (?:page|site"
        r"|resource)"
        r" (?:is|has been|was) (?:denied|blocked)",
        r"\b(?:verify|confirm|prove|make sure|checking (?:if|that)|ensure)\b.{0,30}\byou(?:'re"
        r"|’re| are) "
        r"(?:a )?(?:not a robot|human|not a bot)",
        r"\b(?:are you|i'm not|i am not|i’m not) a? ?robot|^are you (?:a )?human",
        r"(?:complete|solve|enter|fill in) the (?:captcha|security check|recaptcha)",
        r"unusual (?:traffic|activity) from your (?:computer )?(?:network|ip|browser)",
        r"checking your browser|^(?:attention required|just a moment|one more step)\b.{0,30}$",
        r"(?:ddos|bot) protection by|performance (?:&|and) security by|^(?:cloudflare )?ray id\b",
        r"your (?:ip|ip address|access|request) (?:has been|was|is) (?:temporarily )?(?:blocked"
        r"|banned)",
        r"this (?:content|page|site|article) is (?:not available|unavailable) in your "
        r"(?:country|region|location)",
        r"^zugriff verweigert|^accès (?:refusé|interdit)|^acceso denegado|^acesso negado"
        r"|^accesso negato",
        r"(?:请输入|输入)验证码|访问(?:被拒绝|受限|过于频繁)|安全验证",
        r"доступ (?:запрещ[её]н|ограничен)",
    ),
    "cookie notice": _any(
        r"\b(?:we|our (?:web)?sites?|our partners|this (?:web)?site|this page)\b.{0,60}"
        r"\b(?:use|uses|using|store|set)\b.{0,30}\bcookies\b",
        r"\byour? (?:\w+ ){0,4}(?:consent|agree|accept)\b.{0,60}\bcookies?\b"
        r"|by (?:continuing|using|clicking|browsing|closing)\b.{0,80}\b(?:cookies?|you (?:agree"
        r"|accept|consent))\b",
        r"^(?:please )?(?:accept|reject|allow|manage|decline|deny|customi[sz]e)\b.{0,20}"
        r"\b(?:cookies?|all|preferences|settings)"
        r"(?: (?:and|or|to) (?:close|continue|proceed|enter|read on|view (?:this|the) "
        r"(?:page|site|content|article)|(?:use|visit) (?:this|the|our) (?:web)?site))?[.!]?$",
        r"^(?:cookie (?:policy|settings|preferences|notice|consent)|your privacy)\b.{0,30}$",
        r"(?:wir|(?:diese|unsere) (?:web)?(?:seite|site))\b.{0,60}\bcookies\b.{0,120}$",
        r"(?:nous|ce site|notre site)\b.{0,40}\b(?:utilis\w+|dépos\w+)\b.{0,40}\bcookies",
        r"(?:este sitio|esta web|esta página|utilizamos|usamos|este site)\b.{0,40}\bcookies",
        r"(?:questo sito|utilizziamo|usiamo)\b.{0,40}\bcookie",
        r"(?:deze (?:web)?site|wij|we) (?:maakt |maken )?(?:gebruik\w*).{0,20}cookies",
        r"(?:本网站|本站|我们)(?:会)?使用\s?cookies?|当サイト.{0,20}(?:cookie|クッキー)",
        r"(?:этот сайт|мы|наш сайт) использу\w+.{0,30}(?:cookie|куки)",
    ),
    "login or paywall notice": _any(
        r"^(?:please )?(?:log ?in|sign ?in|register|sign ?up|subscribe|create an account)\b"
        r"(?: (?:or|and|/) (?:log ?in|sign ?in|register|sign ?up|subscribe|create an account))?"
        r"(?: (?:now|here|today))?(?: to (?:continue|read|view|access|see|unlock"
        r"|keep|your|comment|"
        r"post).{0,70})?[.!]?$",
        r"\byou (?:must|need to|have to) (?:be )?(?:log(?:ged)? ?in|sign(?:ed)? ?in"
        r"|register(?:ed)?|"
        r"subscribe(?:d)?)\b",
        r"\b(?:this|the rest of this|the full) (?:article|content|story|page)\b.{0,30}\b(?:for|to|"
        r"available to|exclusive to|reserved for|only)\b.{0,25}\b(?:subscribers|members"
        r"|registered)",
        r"\byou(?:'ve|’ve| have) (?:reached|read|used)\b.{0,40}\b(?:free (?:articles?|stories)"
        r"|limit)",
        r"^already (?:a (?:subscriber|member)|have an account|registered|subscribed)\b.{0,40}$",
        r"^(?:bitte )?(?:melden sie sich an|jetzt anmelden|anmelden)\b.{0,60}$|nur für abonnenten",
        r"(?:réservé|accessible) (?:uniquement )?aux abonnés|^(?:connectez-vous"
        r"|abonnez-vous)\b.{0,70}$",
        r"(?:solo|exclusivo) para (?:suscriptores|assinantes)|^(?:inicie|inicia) sesión\b.{0,60}$",
        r"^请(?:先)?登录.{0,30}$|(?:登录|登陆|订阅)后(?:可|才能|即可)?(?:查看|阅读|继续).{0,20}",
        r"^войдите\b.{0,60}$|только для подписчиков",
    ),
    "test page": _any(
        r"^this is (?:just |only )?a test (?:page|article|post)\b",
        r"^test (?:page|article|post)[.!]?$",
        r"^(?:这|這)是(?:一个|一個)?测试(?:页面|文章)",
        r"^dies ist (?:eine testseite|ein testartikel)",
    ),
}
"""Kind of notice, in the words of its reason: the sentences it is made of."""

FILLER = _any(
    r"(?:please )?(?:try again|come back|check back)(?: later| soon| the url"
    r"| and try again)?.{0,20}",
    r"(?:please )?(?:go|return|take me|click here to (?:go|return)) (?:back )?(?:to )?(?:the "
    r"|our )?"
    r"(?:home ?page|home|main page|front page)?[.!]?",
    r"(?:please )?(?:check|use) (?:the|our|your) (?:url|address|spelling|search|link)\b.{0,60}",
    r"(?:it|the page|the link) (?:may|might) have (?:been )?(?:moved|removed|deleted|expired"
    r"|changed)\b.{0,40}",
    r"(?:oops|sorry|whoops|uh[- ]oh|error|warning|loading|menu|home|search"
    r"|skip to (?:main )?content|"
    r"accept|reject|ok|okay|got it|close|agree|i agree|learn more|read more|more (?:info"
    r"|information)|"
    r"continue|contact us|help|privacy policy|terms of (?:use|service)|all rights reserved"
    r"|subscribe|"
    r"share|print|next|previous)(?: all)?[.…!?]*",
    r"(?:if you (?:think|believe) this is|if the problem persists|for (?:assistance|help"
    r"|support))\b.{0,80}",
    r"(?:to (?:give|provide|offer|ensure|improve|personali[sz]e)|they help us|you can (?:change"
    r"|manage|"
    r"find|read|learn|opt)|for more (?:information|details)|read our|see our"
    r"|learn more about)\b.{0,120}",
    r"(?:©|copyright\b).{0,60}",
    r"(?:返回首页|首页|对不起|抱歉|请稍后再试|很抱歉)[,，。！!]?.{0,12}",
    r"(?:zurück )?zur startseite[.!]?|retour à (?:la page d')?l?'?accueil[.!]?"
    r"|volver al inicio[.!]?",
)
"""Sentences that notices come with, but that make none alone."""

SUSPECTS = (
    r"404|403|401|429|451|not found|looking for|requested|no longer|unavailable|not available"
    r"|find th"
    r"|nicht gefunden|seite|page (non|introuv|que|demand)|p[aá]gina|javascript|java script"
    r"|cookie|[Кк]уки|クッキー"
    r"|captcha|access|forbidden|robot|human|checking your|just a moment|blocked|banned|unusual"
    r"|log ?in|sign ?in|register|sign ?up|subscri|account|logged|members|free (article|stor)|limit"
    r"|anmelden|melden sie|abonn|suscriptor|assinante|sesión|zugriff|acc[èÈ]s"
    r"|acceso|acesso|accesso"
    r"|test (page|article|post)|testseite|testartikel|页面|頁面|您(访问|查看|请求)"
    r"|访问(被|受|过)|请先?登录"
    r"|[登订][录陆阅]后|验证码|安全验证|测试文章|ページ"
    r"|[Сс]траниц|[Дд]оступ|[Вв]ойдите|[Пп]одписчик"
)
"""Cheap look (RE2, on ASCII made small): no text without one of these is a notice."""

SUSPECT_DATE = (
    r"^[\s\x{a0}]*((published|updated|posted):?\s*)?((mon|tues|wednes|thurs|fri|satur|sun)day"
    r"|jan|feb|mar"
    r"|apr|may|jun|jul|aug|sep|oct|nov|dec|\d{1,2}(st|nd|rd|th)?)\b[\w\s,.\x{a0}]{0,40}$"
)
"""The same for a page that is nothing but a date."""
