"""From what the user names (files, folders, globs, URIs, `demo`) to the files to read, in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from article_flows.tasks.common.errors import SourceUnavailable, UserError
from article_flows.tasks.reading.base.rows import Source
from article_flows.tasks.reading.formats.registry import (
    DOCUMENT,
    format_named,
    format_of,
    format_of_suffix,
    known_suffixes,
)
from article_flows.tasks.reading.places.compressed import CompressedFile
from article_flows.tasks.reading.sources.contents import contents, unreadable
from article_flows.tasks.reading.sources.documents import (
    FOLDER_CATEGORY,
    NOTE,
    SUMMARY,
    References,
    categories_of,
    notes_among,
    reason_of_name,
    summaries_among,
)
from article_flows.tasks.reading.sources.files import (
    HIDDEN,
    Listed,
    Skipped,
    listed_by,
    partitions,
    printable_name,
    shown_spec,
)


@dataclass(frozen=True)
class SourceOptions:
    """What the user says of all sources of a load.

    Attributes:
        encoding: of their text; empty: to be found out.
        allow_hosts: private hosts that may be fetched from.
        format: a name from `FORMATS`; empty: to be found out of each.
        references: a folder (or prefix) whose files hold the reference summaries of the documents
            that have the same names.
    """

    encoding: str = ""
    allow_hosts: tuple[str, ...] = ()
    format: str = ""
    references: str = ""


class Sources(list[Source]):
    """The files to read, in order, and what was passed over on the way.

    ``skipped`` are files that are no data; ``broken`` are such as should be, by their names, and
    cannot be read.
    """

    def __init__(
        self,
        sources: Iterable[Source] = (),
        skipped: Iterable[Skipped] = (),
        broken: Iterable[Skipped] = (),
    ) -> None:
        super().__init__(sources)
        self.skipped = list(skipped)
        self.broken = list(broken)


def find_sources(specs: list[str], options: SourceOptions = SourceOptions()) -> Sources:
    """Find the files that specs mean, unpacked: see `listed_by`.

    Files come in the order of the specs, those of a folder or glob in order of name; a file
    named twice comes once. A spec that leads to nothing is in `.broken`, if another leads to some.
    Files in archives are sources of their own. Files that are no data, and hidden ones, are in
    `.skipped`.

    Raises:
        UserError: no spec leads to a file that can be read (SourceUnavailable: just now), an
            option is wrong, or two folders look like articles and their summaries.
    """
    if not specs:
        raise UserError("no source is given; name a file, a folder or a glob, or say demo")
    if options.format:
        format_named(options.format)
    finding = _Finding(options)
    for spec in specs:
        finding.add(spec)
    found, references = finding.found, finding.references
    if not found:
        first = next((each for each in found.broken if each.away), found.broken[0])
        raise (SourceUnavailable if first.away else UserError)(first.reason)
    if references and not any(source.references for source in found):
        raise UserError(
            f"{references.spec}: none of its files is named as one of the sources; "
            "each summary needs the name of its article's file"
        )
    skipped = sorted(dict.fromkeys(found.skipped), key=_rank)
    return Sources(_once(found), skipped, dict.fromkeys(found.broken))


def _rank(skipped: Skipped) -> int:
    """Return a key that sorts summaries behind other files, and hidden files behind both."""
    return 2 if skipped.reason == HIDDEN else int(skipped.reason.startswith(SUMMARY))


def _once(sources: Iterable[Source]) -> Iterator[Source]:
    """Leave out what comes again; number names that do, as of URLs that differ in their query."""
    seen: set[str] = set()
    names: dict[str, int] = {}
    for source in sources:
        place = source.place.identity
        if place not in seen:
            seen.add(place)
            name = printable_name(source.name)
            names[name] = names.get(name, 0) + 1
            again = f" ({names[name]})" if names[name] > 1 else ""
            yield replace(source, name=f"{name}{again}")


class _Finding:
    """Sorts the files of one spec after the other into those to read and those to skip."""

    def __init__(self, options: SourceOptions) -> None:
        self.found = Sources()
        self.options = options
        self.references: References | None = None
        if options.references:
            listed, _ = listed_by(options.references, options.allow_hosts)
            files = ((each.below, each) for each in listed if not each.hidden)
            self.references = References(files, f"--references {options.references}")

    def add(self, spec: str) -> None:
        """Add what a spec leads to, or itself as a broken one if that is nothing.

        Raises:
            UserError: two folders may be articles and summaries.
        """
        try:
            listed, alone = listed_by(spec, self.options.allow_hosts)
        except UserError as error:
            away = isinstance(error, SourceUnavailable)
            self.found.broken.append(Skipped(shown_spec(spec), str(error), away))
            return
        usable: list[Listed] = []
        broken: list[Skipped] = []
        skipped: list[Skipped] = []
        for each in self._looked_into(listed, alone=alone):
            if isinstance(each, Listed):
                usable.append(each)
            # What is in an archive that is named was not named itself: it is as in a folder.
            elif each.should or (alone and any(each.name == file.name for file in listed)):
                broken.append(replace(each, reason=f"{each.name} {each.reason}"))
            else:
                skipped.append(each)
        passed_over = self._take(usable, spec)
        if not broken and len(passed_over) == len(usable):
            first = "".join(f"; {each.name}: {each.reason}" for each in (skipped + passed_over)[:1])
            reason = f"holds no file that can be read ({known_suffixes()}){first}"
            broken.append(Skipped(shown_spec(spec), f"{shown_spec(spec)} {reason}"))
        self.found.broken += broken
        self.found.skipped += skipped + passed_over

    def _take(self, files: list[Listed], spec: str) -> list[Skipped]:
        """Make sources of files, but for notes about others and summaries: those are returned."""
        passed_over = dict.fromkeys(notes_among(files), NOTE)
        documents = [each for each in files if each.format == DOCUMENT and each not in passed_over]
        references = self.references or summaries_among(documents, spec)
        if references is not None:
            summaries = (each for each in documents if each.place.identity in references.identities)
            passed_over |= dict.fromkeys(summaries, f"{SUMMARY}{references.spec}")
        categories = categories_of([each for each in documents if each not in passed_over])
        for each in files:
            if each not in passed_over:
                self.found.append(self._source(each, references, categories.get(each.name)))
        return [Skipped(each.name, passed_over[each]) for each in files if each in passed_over]

    def _looked_into(self, files: list[Listed], *, alone: bool) -> Iterator[Listed | Skipped]:
        """Give the files with their formats, and why others are not to be read.

        `alone`: the user has named the very file, so it is what he says it is.
        """
        for file in files:
            if reason := self._passed_over(file, alone=alone):
                yield Skipped(file.name, reason)
                continue
            for each in contents(file):
                if isinstance(each, Skipped):
                    yield each
                elif each.name != file.name and (reason := reason_of_name(each.place.file_name)):
                    yield Skipped(each.name, reason)
                else:
                    yield self._with_format(each)

    def _passed_over(self, file: Listed, *, alone: bool) -> str:
        """Why a file is not to be looked into; empty if it is."""
        if file.hidden:
            return HIDDEN
        if self.references and file.place.identity in self.references.identities:
            return f"{SUMMARY}{self.references.spec}"
        return "" if alone else reason_of_name(file.place.file_name)

    def _with_format(self, listed: Listed) -> Listed | Skipped:
        named = format_of_suffix(listed.place.file_name)
        if self.options.format:
            return listed._replace(format=self.options.format)
        if listed.remote and named:
            return listed._replace(format=named.name)
        try:
            return listed._replace(format=format_of(listed.place, listed.name))
        except UserError as error:
            is_empty = str(error).startswith(f"{listed.name} is empty")
            return unreadable(listed.name, error, should=named is not None and not is_empty)

    def _source(self, file: Listed, references: References | None, category: str | None) -> Source:
        place = file.place
        folder = ((FOLDER_CATEGORY, category),) if category else ()
        return Source(
            place,
            file.name,
            file.format,
            encoding=self.options.encoding,
            allow_hosts=self.options.allow_hosts,
            constants=(*partitions(file.below), *folder),
            references=references.of(file) if references and file.format == DOCUMENT else None,
            facts={"compression": place.codec} if isinstance(place, CompressedFile) else {},
        )
