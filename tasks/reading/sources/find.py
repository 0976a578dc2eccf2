"""Find the files to read for the sources that the user names; called before every load."""

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
from article_flows.tasks.reading.sources.contents import expand, unreadable
from article_flows.tasks.reading.sources.documents import (
    FOLDER_CATEGORY,
    NOTE_REASON,
    SUMMARY_REASON,
    References,
    find_notes,
    find_summaries,
    infer_categories,
    not_data_reason,
)
from article_flows.tasks.reading.sources.files import (
    HIDDEN_REASON,
    FoundFile,
    Skipped,
    list_files,
    partition_values,
    printable_name,
    redacted_spec,
)


@dataclass(frozen=True)
class SourceOptions:
    """Options that apply to all sources of a load.

    Attributes:
        encoding: Text encoding; empty to detect it.
        allow_hosts: Private hosts that may be fetched from.
        format: A key of `FORMATS`; empty to detect it for each file.
        references: A folder (or prefix) with the reference summaries of the documents of the same
            names.
    """

    encoding: str = ""
    allow_hosts: tuple[str, ...] = ()
    format: str = ""
    references: str = ""


class Sources(list[Source]):
    """The files to read, in order.

    Attributes:
        skipped: Files that are not data.
        broken: Sources, and files that are data by their names, that cannot be read.
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
    """Find the files that specs name.

    Compressed files are decompressed, and each file in an archive is a source.

    Args:
        specs: See `list_files`.
        options: Options for all sources.

    Returns:
        The files in the order of the specs, those of a folder or glob sorted by name, without
        duplicates. Specs without a readable file are in `broken`, hidden files and files that are
        not data in `skipped`.

    Raises:
        UserError: No spec has a readable file (SourceUnavailable if a later attempt may succeed),
            an option is invalid, or two folders look like articles and their summaries.

    Example:
        >>> [(source.name, source.format) for source in find_sources(["demo"])]
        [('demo', 'jsonl')]
    """
    if not specs:
        raise UserError(
            "no source is given; give a file, a folder, a glob, an address, or the word demo"
        )
    if options.format:
        format_named(options.format)
    search = _Search(options)
    for spec in specs:
        search.add(spec)
    found, references = search.found, search.references
    if not found:
        first = next((each for each in found.broken if each.temporary), found.broken[0])
        raise (SourceUnavailable if first.temporary else UserError)(first.reason)
    if references and not any(source.references for source in found):
        raise UserError(
            f"{references.spec}: none of its files has the name of a source; "
            "each summary needs the name of its article's file"
        )
    skipped = sorted(dict.fromkeys(found.skipped), key=_rank)
    return Sources(_unique(found), skipped, dict.fromkeys(found.broken))


def _rank(skipped: Skipped) -> int:
    """Return a key that sorts summaries after other files, and hidden files last."""
    return 2 if skipped.reason == HIDDEN_REASON else int(skipped.reason.startswith(SUMMARY_REASON))


def _unique(sources: Iterable[Source]) -> Iterator[Source]:
    """Remove duplicates, and number equal names, as of URLs that differ only in their query."""
    identities: set[str] = set()
    names: dict[str, int] = {}
    for source in sources:
        identity = source.file.identity
        if identity not in identities:
            identities.add(identity)
            name = printable_name(source.name)
            names[name] = names.get(name, 0) + 1
            number = f" ({names[name]})" if names[name] > 1 else ""
            yield replace(source, name=f"{name}{number}")


class _Search:
    """The files of the specs: those to read, those to skip, and broken ones."""

    def __init__(self, options: SourceOptions) -> None:
        self.found = Sources()
        self.options = options
        self.references: References | None = None
        if options.references:
            files, _ = list_files(options.references, options.allow_hosts)
            visible = ((each.below, each) for each in files if not each.hidden)
            self.references = References(visible, f"--references {options.references}")

    def add(self, spec: str) -> None:
        """Add the files of a spec, or the spec itself as broken if it has none.

        Raises:
            UserError: Two folders look like articles and their summaries.
        """
        try:
            files, single = list_files(spec, self.options.allow_hosts)
        except UserError as error:
            temporary = isinstance(error, SourceUnavailable)
            self.found.broken.append(Skipped(redacted_spec(spec), str(error), temporary))
            return
        readable: list[FoundFile] = []
        broken: list[Skipped] = []
        skipped: list[Skipped] = []
        for each in self._expanded(files, single=single):
            if isinstance(each, FoundFile):
                readable.append(each)
            # Files in a named archive are not named themselves, just as those in a folder.
            elif each.expected or (single and any(each.name == file.name for file in files)):
                broken.append(replace(each, reason=f"{each.name} {each.reason}"))
            else:
                skipped.append(each)
        excluded = self._add_sources(readable, spec)
        if not broken and len(excluded) == len(readable):
            first = "".join(f"; {each.name}: {each.reason}" for each in (skipped + excluded)[:1])
            reason = f"contains no file that can be read ({known_suffixes()}){first}"
            broken.append(Skipped(redacted_spec(spec), f"{redacted_spec(spec)} {reason}"))
        self.found.broken += broken
        self.found.skipped += skipped + excluded

    def _add_sources(self, files: list[FoundFile], spec: str) -> list[Skipped]:
        """Add files as sources, except notes and summaries, which are returned."""
        excluded = dict.fromkeys(find_notes(files), NOTE_REASON)
        documents = [each for each in files if each.format == DOCUMENT and each not in excluded]
        references = self.references or find_summaries(documents, spec)
        if references is not None:
            summaries = (each for each in documents if each.file.identity in references.identities)
            excluded |= dict.fromkeys(summaries, f"{SUMMARY_REASON}{references.spec}")
        categories = infer_categories([each for each in documents if each not in excluded])
        for each in files:
            if each not in excluded:
                self.found.append(self._source(each, references, categories.get(each.name)))
        return [Skipped(each.name, excluded[each]) for each in files if each in excluded]

    def _expanded(self, files: list[FoundFile], *, single: bool) -> Iterator[FoundFile | Skipped]:
        """Yield the readable files with their formats, and the others with reasons.

        `single`: the user has named this very file, so its name does not exclude it.
        """
        for file in files:
            if reason := self._exclusion_reason(file, single=single):
                yield Skipped(file.name, reason)
                continue
            for each in expand(file):
                if isinstance(each, Skipped):
                    yield each
                elif each.name != file.name and (reason := not_data_reason(each.file.file_name)):
                    yield Skipped(each.name, reason)
                else:
                    yield self._with_format(each)

    def _exclusion_reason(self, found: FoundFile, *, single: bool) -> str:
        if found.hidden:
            return HIDDEN_REASON
        if self.references and found.file.identity in self.references.identities:
            return f"{SUMMARY_REASON}{self.references.spec}"
        return "" if single else not_data_reason(found.file.file_name)

    def _with_format(self, found: FoundFile) -> FoundFile | Skipped:
        by_suffix = format_of_suffix(found.file.file_name)
        if self.options.format:
            return found._replace(format=self.options.format)
        if found.remote and by_suffix:
            return found._replace(format=by_suffix.name)
        try:
            return found._replace(format=format_of(found.file, found.name))
        except UserError as error:
            is_empty = str(error).startswith(f"{found.name} is empty")
            return unreadable(found.name, error, expected=by_suffix is not None and not is_empty)

    def _source(
        self, found: FoundFile, references: References | None, category: str | None
    ) -> Source:
        file = found.file
        folder = ((FOLDER_CATEGORY, category),) if category else ()
        return Source(
            file,
            found.name,
            found.format,
            encoding=self.options.encoding,
            allow_hosts=self.options.allow_hosts,
            constants=(*partition_values(found.below), *folder),
            references=references.of(found) if references and found.format == DOCUMENT else None,
            facts={"compression": file.codec} if isinstance(file, CompressedFile) else {},
        )
