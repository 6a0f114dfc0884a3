"""The shapes of credentials: what they begin with, and what follows."""

import math
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_WORD, _ALNUM, _HEX, _UPPER, _BASE64 = "[A-Za-z0-9_-]", "[A-Za-z0-9]", "[A-Fa-f0-9]", "[A-Z0-9]", "[A-Za-z0-9+/=_-]"
# Prefixes, the characters that follow, and how many of them make a credential.
_SHAPES = (
    ("sk- gldt- glrt- glcbt- glft- glpat- glptt- gloas- glsoat- GR1348941 tskey- tvly- dckr_pat_ dckr_oat_", _WORD, 20),
    ("github_pat_ sb_secret_ hvs. hvb. hvr. ya29. sq0atp- sq0csp- HRKU- lsv2_", _WORD, 20),
    ("AIza GOCSPX- AQ. pcsk_ figd_ pypi-AgE nvapi- xkeysib- pscale_tkn_ pscale_pw_", _WORD, 28),
    ("sk_live_ sk_test_ rk_live_ rk_test_ LTAI", _ALNUM, 16),
    ("hf_ api_org_ r8_ NRAK-", _ALNUM, 27),
    ("ghp_ gho_ ghu_ ghs_ ghr_ npm_ ntn_ lin_api_ lin_oauth_ gsk_ pplx- csk- xai- dp.pt.", _ALNUM, 36),
    ("dapi shpat_ shpca_ shppa_ shpss_ sbp_ rubygems_ dop_v1_ doo_v1_ dor_v1_", _HEX, 32),
    ("whsec_ glsa_ glc_ sntrys_ sntryu_ fm2_ fo1_ ATATT3 ATCTT3 ABSK ops_eyJ bedrock-api-key-", _BASE64, 32),
    ("AccountKey= SharedAccessKey=", _BASE64, 40),
    ("xoxa- xoxb- xoxc- xoxd- xoxe- xoxo- xoxp- xoxr- xoxs- xapp- PMAK-", "[A-Za-z0-9%-]", 10),
    ("AGE-SECRET-KEY-1", _UPPER, 50),
    ("SG.", "[A-Za-z0-9_.-]", 60),
    ("hooks.slack.com/services/ hooks.slack.com/workflows/ hooks.slack.com/triggers/", "[A-Za-z0-9/_-]", 20),
    ("discord.com/api/web discordapp.com/api/web", "[A-Za-z0-9/_-]", 60),
    ("office.com/web", "[A-Za-z0-9@/_-]", 100),
)
_EXACT_SHAPES = (("AKIA ASIA ABIA ACCA", _UPPER, 16),)
JWT = "eyJ"
JWT_BODY = re.compile(r"[\w-]{7,4000}+\.eyJ[\w-]{7,8000}+\.[\w-]{10}", re.ASCII)
JWT_BEGUN = re.compile(r"[\w-]{0,4000}+(?:\.(?:e(?:y(?:J[\w-]{0,8000}+(?:\.[\w-]{0,9})?)?)?)?)?\Z", re.ASCII)
JWT_PART = re.compile(r"[\w-]{0,4000}", re.ASCII)
KEY = "-----BEGIN "
KEY_HEAD = re.compile(r"[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
KEY_BEGUN = re.compile(r"[A-Z0-9 ]{0,60}-{0,4}\Z")
KEY_END = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
KEY_END_LENGTH = 80


class Shape(NamedTuple):
    """What follows a prefix: a run of characters, at least so many of them, and at most."""

    run: re.Pattern[str]
    least: int
    most: float


def _shapes() -> Iterator[tuple[str, Shape]]:
    for table, exact in ((_SHAPES, False), (_EXACT_SHAPES, True)):
        for prefixes, characters, least in table:
            for prefix in prefixes.split():
                yield prefix, Shape(re.compile(f"{characters}*+"), least, least if exact else math.inf)


def _any_of(words: Iterable[str], *, begun: bool) -> str:
    """A pattern of all the words, and if `begun` of their beginnings."""
    heads: dict[str, list[str]] = {}
    for word in words:
        heads.setdefault(word[0], []).append(word[1:])
    alternatives = []
    for head, rests in heads.items():
        longer = [rest for rest in rests if rest]
        optional = "?" if begun or len(longer) < len(rests) else ""
        alternatives.append(re.escape(head) + (f"(?:{_any_of(longer, begun=begun)}){optional}" if longer else ""))
    return "|".join(alternatives)


BY_PREFIX = dict(_shapes())
PREFIXES = (*BY_PREFIX, JWT, KEY)
PREFIX = re.compile(_any_of(PREFIXES, begun=False))
PREFIX_BEGUN = re.compile(rf"(?:(?<![A-Za-z0-9])(?:{_any_of(PREFIXES, begun=True)})|{_any_of([KEY], begun=True)})\Z")
LONGEST_PREFIX = max(map(len, PREFIXES))
