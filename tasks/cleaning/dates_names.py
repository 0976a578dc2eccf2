"""The words that dates are written with: months, weekdays, zones, and those that say nothing."""

from unicodedata import combining, normalize

# Full names and usual short ones; Russian, Polish and so on as they stand in a date (genitive).
_MONTHS = (
    # English, German, French, Spanish, Italian, Portuguese, Dutch, Russian
    "january jan januar janner janvier janv enero ene gennaio gen janeiro januari "
    "января янв январь",
    "february feb februar fevrier fevr fev febrero febbraio fevereiro februari "
    "февраля фев февр февраль",
    "march mar marz mrz mars marzo março marco maart mrt марта мар март",
    "april apr avril avr abril abr aprile апреля апр апрель",
    "may mai mayo maggio mag maio mei мая май",
    "june jun juni juin junio giugno giu junho июня июн июнь",
    "july jul juli juillet juil julio luglio lug julho июля июл июль",
    "august aug aout agosto ago augustus августа авг август",
    "september sep sept septembre septiembre set settembre setembro сентября сен сент сентябрь",
    "october oct oktober okt octobre octubre ottobre ott outubro out октября окт октябрь",
    "november nov novembre noviembre novembro ноября ноя нояб ноябрь",
    "december dec dezember dez decembre diciembre dic dicembre dezembro декабря дек декабрь",
)
_WEEKDAYS = (
    "monday mon tuesday tue tues wednesday wed thursday thu thur thurs friday fri saturday sat "
    "sunday sun montag mo dienstag di mittwoch mi donnerstag do freitag fr samstag sonnabend sa "
    "sonntag so lundi lun mardi mar mercredi mer jeudi jeu vendredi ven samedi sam dimanche dim "
    "lunes martes miercoles mie jueves jue viernes vie sabado sab domingo dom lunedi martedi "
    "mercoledi giovedi gio venerdi sabato domenica segunda seg terca ter quarta qua quinta qui "
    "sexta sex feira maandag ma dinsdag woensdag wo donderdag vrijdag vr zaterdag za zondag zo "
    "понедельник пн вторник вт среда ср четверг чт пятница пт суббота сб воскресенье вс"
)
_FILLERS = (
    "the of at on den der am um uhr le la a les el de del las los il alle ore ora dia as op om "
    "uur г года в published updated posted veroffentlicht publie publicado pubblicato gepubliceerd"
)
# Hours from UTC. Of names with several meanings the one that English news use; what stands for
# different offsets in the press of different countries (AMT, GST, SST, WST) is not here.
_ZONES = {
    "utc": 0.0, "gmt": 0.0, "z": 0.0, "ut": 0.0, "wet": 0.0, "bst": 1.0, "west": 1.0, "cet": 1.0,
    "mez": 1.0, "cest": 2.0, "mesz": 2.0, "eet": 2.0, "sast": 2.0, "cat": 2.0, "eest": 3.0,
    "msk": 3.0, "мск": 3.0, "eat": 3.0, "trt": 3.0, "pkt": 5.0, "ist": 5.5, "npt": 5.75, "ict": 7.0,
    "wib": 7.0, "hkt": 8.0, "sgt": 8.0, "awst": 8.0, "pht": 8.0, "jst": 9.0, "kst": 9.0,
    "acst": 9.5, "aest": 10.0, "aedt": 11.0, "nzst": 12.0, "nzdt": 13.0, "nst": -3.5, "brt": -3.0,
    "art": -3.0, "ndt": -2.5, "ast": -4.0, "adt": -3.0, "est": -5.0, "edt": -4.0, "cst": -6.0,
    "cdt": -5.0, "mst": -7.0, "mdt": -6.0, "pst": -8.0, "pdt": -7.0, "akst": -9.0, "akdt": -8.0,
    "hst": -10.0,
}  # fmt: skip
_REGIONS = {
    "et": "America/New_York", "ct": "America/Chicago", "mt": "America/Denver",
    "pt": "America/Los_Angeles",
}  # fmt: skip


def plain_word(word: str) -> str:
    """A word without case and accents, as all tables here have it."""
    if word.isascii():
        return word.lower()
    marked = normalize("NFD", word.casefold())
    # й is a letter of its own and not и with a mark.
    bare = "".join(each for each in marked if not combining(each) or each == "\u0306")
    return normalize("NFC", bare)


MONTHS = {
    plain_word(name): number
    for number, names in enumerate(_MONTHS, start=1)
    for name in names.split()
}
"""Names of months, see `plain_word`, to 1 to 12."""
WEEKDAYS = frozenset(map(plain_word, _WEEKDAYS.split()))
"""Names of weekdays; some (mar, for mardi and martes) are months too."""
FILLERS = frozenset(map(plain_word, _FILLERS.split()))
"""Words that a date may have around it and that say nothing."""
ZONES = {name: round(hours * 60) for name, hours in _ZONES.items()}
"""Names of zones with a fixed offset, to minutes east of UTC."""
REGIONS = _REGIONS
"""Names that say a region but not whether it has summer time, to what zoneinfo calls it."""
