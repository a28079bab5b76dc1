"""Whether the words of a record say that a sample is of single cells.

Archives had no field for it for most of their life: the protocol's words have to be read.
Kits and methods that are used for nothing else, the words "scRNA-seq" or "single-cell RNA",
and cells per well speak for it; "bulk", pools of cells and extracted RNA against it. What
only sounds alike is set aside: suspensions, clones, one-cell embryos, other assays, the
kits that are sold for single cells and used for little RNA, the cells of other people's
data. Experiments often hold both kinds, and their submitters describe both in every
sample's protocol: the sample's title and short attributes then decide. The weights are set
by hand, as log-odds. Not here: the expression values
(`refinebio_assets.rnaseq.single_cell`, which also puts both together).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from refinebio_assets.metadata.platforms import RNA_SEQ
from refinebio_assets.sources.records import Experiment, Sample

SINGLE_CELL_SOURCE = "single cell"  # in a library's source, e.g. TRANSCRIPTOMIC SINGLE CELL
MOST_LOG_ODDS = 8.0
LONGEST_TEXT = 20_000  # characters of a text that are read

LONGEST_LABEL = 200  # a longer attribute is a protocol, which samples of both kinds may share

Place = Literal["label", "protocol", "experiment"]

_OF_THE_EXPERIMENT = "study_"  # keys of attributes that repeat the study's record
_SOURCE_KEYS = re.compile(r"library.?source", re.IGNORECASE)
_OF_PEOPLE = re.compile(r"contact|cent(er|re)_name|broker|institut|laborator|submi", re.IGNORECASE)
_SPACE = re.compile(r"[\s_\-\u00ad\u2010-\u2015\u2212]+")

_AS_TYPED = str.maketrans({"\u2032": "'", "\u02b9": "'", "\u2019": "'", "\u00d7": "x"})

_CELLS = r"(?:single (?:cells?|nucle(?:us|i|ar))|sc ?rna(?: ?seq)?|sn ?rna(?: ?seq)?)"

# What only sounds alike. Taken out before anything is looked for.
_INNOCENT = re.compile(
    "|".join(
        (
            r"single (?:cells?|nucle(?:us|i)) (?:suspensions?|solutions?|dissociat\w*|digest\w*)",
            r"(?:suspensions? of|dissociated (?:in ?to|as)|digested (?:in ?to)) single cells?",
            r"single cell (?:derived|clon\w+|sub ?clon\w+|coloni?\w*|expan\w+|cultures?|lines?)",
            r"(?:derived|grown|expanded|cloned|arising|originating) from (?:a |one )?single cells?",
            r"(?:single|one) cell (?:stages?|embryos?|zygotes?)",
            r"single cell (?:organisms?|eukaryot\w+|algae?|alga|parasites?|protists?|yeasts?)",
            r"single cell (?:layers?|types?|populations?|walls?|thick|gel|protein|tracking)",
            r"single cell (?:resolution )?(?:imaging|microscop\w+|electro\w+|patch|calcium)",
            r"(?:sc ?|single (?:cell|nucle(?:us|i)) )(?:dna|atac|genom\w+|bisulfite|methyl\w+|chip)"
            r"[ \w]{0,12}",
            r"(?:gat(?:ed|ing)|selected|sorted|enriched) (?:on|for|to) (?:live |viable |intact )?"
            r"single cells",
            r"(?:public\w*|published|previous\w*|existing|external|reference|reported)"
            rf"(?: \w+){{0,3}} {_CELLS}[ \w]{{0,30}}",
            # kits for little RNA, of one cell or of many
            r"\b(?:ovation|nugen|nebnext|repli g|qiaseq(?: fx)?|smarter)(?: \w+){0,3} single cell"
            r"(?: ?/ ?low input)?(?: rna)?(?: seq)?(?: \w+){0,2}",
            # small cytoplasmic RNA, in lists of what was filtered out
            r"\b(?:r|t|sn|sno|srp)rnas?[ ,;/]+(?:and )?scrnas?\b",
            r"\bscrnas?[ ,;/]+(?:and )?(?:r|t|sn|sno|srp)rnas?\b",
            r"pseudo ?bulk\w*",
            r"\bbulk of\b",
        )
    )
)
_DENIED = re.compile(
    r"\b(?:not|non|no|never|rather than|instead of|unlike|as opposed to|in place of)"
    rf"(?: (?:a|an|by|of|from|the|any|using|with|was|were)){{0,2}} {_CELLS}[ \w]{{0,30}}"
)


@dataclass(frozen=True)
class _Sign:
    """A kind of words, and its log-odds: in a sample's own texts, in its experiment's."""

    name: str
    pattern: re.Pattern[str]
    own: float
    shared: float


# All are looked for in lower case, where hyphens and underscores are blanks.
_SIGNS = (
    _Sign(
        "single-cell method",
        re.compile(
            r"\b10 ?x (?:genomics|chromium|barcod\w+|gems?\b|multiome|single|[35] ?(?:'|prime)"
            r"|v ?[1-4]\b|platform)"
            r"|\b10x(?:genomics|v[1-4])\b"
            r"|\bchromium (?:single|next|controller|chip|connect|instrument|platform|system|10 ?x"
            r"|i?x\b|genome chip)"
            r"|\bcell ?ranger\b|\bgel beads? in emulsions?\b|\bbarcodes\.tsv\b|\bmatrix\.mtx\b"
            r"|\b(?:drop|cel|mars|split|quartz|strt|scrb|cyto|cite|perturb|patch|microwell)"
            r" ?seq ?[1-4]?\b|\bsci ?rna\w*|\bstrt\b"
            r"|\bdroplet (?:based )?(?:microfluid|single cell)"
            r"|\bseq well\b|\bin ?drops?(?: (?:seq|protocol|platform|libr\w+|v[123]))\b|\bindrops\b"
            r"|\bbd rhapsody\b|\bevercode\b|\bfluidigm c1\b|\bc1 (?:fluidigm|single cell|auto ?prep"
            r"|ifcs?|integrated fluidic|system|platform|chip)\b"
        ),
        6.0,
        4.0,
    ),
    _Sign(
        "single-cell RNA",
        re.compile(
            r"\bs[cn] ?rna ?seq\w*|\bscrna\b"
            r"|\bsingle (?:cells?|nucle(?:us|i|ar)) (?:(?:whole|full length|3'|5'|total) )?"
            r"(?:m?rnas?|rna ?seq\w*|transcript\w+|gene expression|sequenc\w+|seq\b|librar\w+"
            r"|c?dnas? librar\w+|cdnas?|multi ?om\w+|profil\w+|analys[ei]s)"
        ),
        6.0,
        4.0,
    ),
    _Sign(
        "one cell a library",
        re.compile(
            r"\b(?:one|1|a single|individual|single) (?:cells?|nucle(?:us|i)) (?:per|in(?:to)? each"
            r"|in(?:to)? individual|in(?:to)? separate|in(?:to)? a|in(?:to)? (?:96|384))"
            r" ?(?:wells?|tubes?|lanes?|librar\w+|droplets?|reactions?)?"
            r"|\b(?:individual|single) (?:\w+ )?(?:cells?|nuclei) were (?:\w+ )?(?:picked|captured"
            r"|sucked|aspirated|sorted|isolated|collected|lysed|deposited)"
            r"|\b(?:cell (?:counts?|numbers?)|numbers? of cells|cells? per (?:sample|well|library))"
            r"[ :=]{1,3}(?:1|one)\b(?![,.\d])"
            r"|\b(?:from|of) individual (?:cells|nuclei)\b"
            r"|\bcell (?:identifying )?barcodes?\b"
            r"|\b(?:reads|umis?|transcripts|genes) per (?:cell|nucleus)\b"
        ),
        4.0,
        2.0,
    ),
    _Sign("Smart-seq2 or 3", re.compile(r"\bsmart ?seq ?[23]\b"), 2.0, 1.0),
    _Sign(
        "single cells",
        re.compile(r"\bsingle (?:(?:live|viable|sorted|alive) )?(?:cells?|nucle(?:us|i))\b"),
        2.0,
        1.0,
    ),
    _Sign("well of a plate", re.compile(r"\bwell(?: ?id| position)?: "), 1.5, 0.0),
    _Sign("bulk", re.compile(r"\bbulk\b"), -5.0, -2.5),
    _Sign(
        "many cells a library",
        re.compile(
            r"\b(?:pools? of|pooled) (?:about |approximately |~ ?)?\d[\d,]{1,9} (?:\w+ )?cells"
            r"|\b\d[\d,]{2,9} (?:\w+ ){0,2}cells (?:per|for each|from each)"
            r" (?:sample|replicate|libr\w+)"
            r"|\b(?:rna|library|libraries) (?:\w+ ){0,3}from (?:about |~ ?)?\d[\d,]{2,9}"
            r" (?:\w+ )?cells"
            r"|\b(?:cell (?:counts?|numbers?)|numbers? of cells|cells? per sample)[ :=]{1,3}"
            r"[~>]? ?[1-9]\d[\d,]*\b"
        ),
        -3.0,
        -1.0,
    ),
    _Sign(
        "extracted RNA",
        re.compile(
            r"\b(?:total |m|poly ?\(?a\)?\+? )?rnas? (?:\w+ ){0,3}(?:extract|isolat|purif)\w+"
            r"|\b(?:extract|isolat|purif)\w+ (?:of )?(?:the )?(?:total |m|cellular )?rnas?\b"
            r"|\bn?g of (?:total |input |purified )?rna\b|\brneasy\b|\btri ?zol\b|\bqiazol\b"
            r"|\bmirvana\b|\btri reagent\b|\bribo ?zero\b|\btruseq (?:stranded|rna|mrna)\b"
        ),
        -2.0,
        -1.0,
    ),
)
_DENIAL = _Sign("said not to be single cells", _DENIED, -4.0, -2.0)
# Of signs that imply one another only the heaviest counts.
_ALIKE = (
    ("single-cell method", "single-cell RNA", "one cell a library", "single cells"),
    ("said not to be single cells", "bulk", "many cells a library"),
)
DECISIVE = 4.0


@dataclass(frozen=True)
class TextEvidence:
    """What the words of a record say.

    Attributes
    ----------
    log_odds
        Natural logarithm of the odds that the sample is of single cells, from words alone:
        0 where they are silent, from -8 (surely bulk) to 8.
    signs
        What was found, the heaviest first, e.g. "single-cell method: 10x genomics (sample)".
    """

    log_odds: float = 0.0
    signs: tuple[str, ...] = ()


SILENT = TextEvidence()


def text_evidence(experiment: Experiment, sample: Sample) -> TextEvidence:
    """What the records of a sample and of its experiment say of single cells.

    Silent of samples that are not RNA-seq. Protocols that all samples share are taken for
    the experiment's; names of people and institutes are passed over.
    """
    if sample.technology != RNA_SEQ:
        return SILENT
    labels, protocols, sources = [sample.title], [], []
    shared = [experiment.title, experiment.description, experiment.protocol_description]
    if sample.protocol_info != experiment.protocol_description:
        protocols.append(sample.protocol_info)
    for each in sample.attributes:
        if each.key.startswith(_OF_THE_EXPERIMENT):
            shared.append(each.value)
        elif _SOURCE_KEYS.search(each.key):
            sources.append(each.value)
        elif not _OF_PEOPLE.search(each.key):
            place = labels if len(each.value) <= LONGEST_LABEL else protocols
            place.append(f"{each.key}: {each.value}")
    return evidence_in(
        {"label": _given(labels), "protocol": _given(protocols), "experiment": _given(shared)},
        library_source=" ".join(sources),
    )


def evidence_in(texts: Mapping[Place, Iterable[str]], *, library_source: str = "") -> TextEvidence:
    """What texts say of single cells.

    Parameters
    ----------
    texts
        `label`: title and short attributes ("key: value") of the sample. `protocol`: its
        longer texts. `experiment`: those of its experiment.
    library_source
        As archives have it. Only one that names single cells says anything: before there
        was that word, single cells were TRANSCRIPTOMIC too.
    """
    found = [
        (sign.shared if place == "experiment" else sign.own, sign.name, words, place)
        for place in ("label", "protocol", "experiment")
        for text in texts.get(place, ())
        for sign, words in _signs_of(text[:LONGEST_TEXT])
    ]
    if SINGLE_CELL_SOURCE in _plain(library_source):
        found.append((MOST_LOG_ODDS, "library source", library_source.strip()[:60], "label"))
    labelled = sum(weight for weight, *_ in _heaviest(each for each in found if each[3] == "label"))
    if abs(labelled) >= DECISIVE:  # the longer texts are about the other kind, too
        found = [each for each in found if each[3] == "label" or each[0] * labelled > 0]
    counted = _heaviest(found)
    log_odds = sum((weight for weight, *_ in counted), 0.0)
    return TextEvidence(
        min(max(log_odds, -MOST_LOG_ODDS), MOST_LOG_ODDS),
        tuple(f"{name}: {words} ({place})" for _, name, words, place in counted),
    )


_Found = tuple[float, str, str, str]  # log-odds, name, words, place


def _heaviest(found: Iterable[_Found]) -> list[_Found]:
    """One of each sign, and of signs that imply one another; the heaviest first."""
    by_weight = sorted(found, key=lambda each: -abs(each[0]))
    kept: dict[str, _Found] = {}
    for each in by_weight:
        kept.setdefault(each[1], each)
    for alike in _ALIKE:
        for name in [name for name in kept if name in alike][1:]:
            del kept[name]
    if any(each[0] >= DECISIVE for each in kept.values()):
        kept.pop("many cells a library", None)  # droplets hold thousands of cells, one by one
    return [each for each in kept.values() if each[0]]


def _given(texts: Iterable[str | None]) -> list[str]:
    return [text for text in texts if text]


@lru_cache(maxsize=512)  # samples of an experiment share most of their texts
def _signs_of(text: str) -> tuple[tuple[_Sign, str], ...]:
    plain = _plain(text)
    found = []
    denied = _DENIED.search(plain)
    if denied:
        found.append((_DENIAL, denied[0].strip()))
        plain = _DENIED.sub(" ; ", plain)
    plain = _INNOCENT.sub(" ; ", plain)
    for sign in _SIGNS:
        words = sign.pattern.search(plain)
        if words:
            found.append((sign, words[0].strip()))
    return tuple(found)


def _plain(text: str) -> str:
    return _SPACE.sub(" ", text.lower().translate(_AS_TYPED))
