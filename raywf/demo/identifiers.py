"""Four offline language identifiers behind plain functions.

Each takes a text and returns a distribution over ISO 639-1 codes that sums to 1, or `{}` where it abstains. They are
loaded at the first call, once per process, and never use the network. Codes are made to mean the same for all four:

- Norwegian is `no`. Some answer `nb` (Bokmål) or `nn` (Nynorsk), others only `no`; the macrolanguage is what all can say.
- Chinese is `zh` in either script, Hebrew is `he` (not `iw`), Javanese is `jv` (not `jw`).
- Languages without a two-letter code and "unknown" are dropped before the rest is normalised.

How much the numbers are worth differs, which is the point of merging: pycld2 reports the share of the text it thinks is
in a language, not a probability; langdetect is nearly always sure; lingua runs in its low-accuracy mode (70 MB instead
of almost a gigabyte).
"""

import math
from collections.abc import Callable, Iterable
from functools import cache
from importlib.util import find_spec
from threading import Lock
from typing import Any, TypeAlias

from raywf.errors import RaywfError

Distribution: TypeAlias = dict[str, float]

SAME = {"nb": "no", "nn": "no", "zh-cn": "zh", "zh-tw": "zh", "zh-hant": "zh", "iw": "he", "jw": "jv"}
SMALLEST = 1e-6
"""Below this a probability is noise; dropping it keeps what travels between tasks short."""

DIGITS = 9
"""lingua adds up in the order of a hash map, so its last digits differ from call to call."""

_loading = Lock()


class DemoExtraMissing(RaywfError, ImportError):
    """A package of the demo is not installed. Trying again does not help, installing does."""


def py3langid(text: str) -> Distribution:
    """Naive Bayes over byte n-grams, 140 languages, with normalised probabilities."""
    clean = _clean(text)
    return _normalised(_py3langid().rank(clean)) if clean else {}


def lingua(text: str) -> Distribution:
    """Trigram frequencies and rules about alphabets, 75 languages, in low-accuracy mode."""
    found = _lingua().compute_language_confidence_values(_clean(text))
    return _normalised((one.language.iso_code_639_1.name.lower(), one.value) for one in found)


def langdetect(text: str) -> Distribution:
    """Naive Bayes over character n-grams with random restarts, 55 languages; the seed is fixed, so it repeats itself."""
    detect, nothing_to_read = _langdetect()
    try:
        found = detect(_clean(text))
    except nothing_to_read:
        return {}
    return _normalised((one.lang, one.prob) for one in found)


def pycld2(text: str) -> Distribution:
    """Compact Language Detector 2, the fastest by far; it abstains on texts that are too short for it."""
    _, _, found = _pycld2()(_clean(text))
    return _normalised((code, percent) for _, code, percent, _ in found)


IDENTIFIERS: dict[str, Callable[[str], Distribution]] = {
    "py3langid": py3langid,
    "lingua": lingua,
    "langdetect": langdetect,
    "pycld2": pycld2,
}
"""By name, in the order in which the demo prints them."""


def require_all() -> None:
    """Raises `DemoExtraMissing` unless all four packages are installed; loads none of them."""
    missing = [name for name in IDENTIFIERS if find_spec(name) is None]
    if missing:
        raise _missing(", ".join(missing))


def _clean(text: str) -> str:
    """pycld2 refuses control characters and lone surrogates, and one unreadable byte must not stop a ticket."""
    return "".join(c if c.isprintable() else " " for c in text).strip()


def _normalised(found: Iterable[tuple[str, float]]) -> Distribution:
    mass: Distribution = {}
    for code, probability in found:
        known = SAME.get(code.lower(), code.lower())
        if len(known) == 2 and known != "un" and probability > SMALLEST:
            mass[known] = mass.get(known, 0.0) + float(probability)
    total = math.fsum(mass.values())
    shares = {code: round(value / total, DIGITS) for code, value in mass.items()}
    return dict(sorted(shares.items(), key=lambda item: (-item[1], item[0])))


def _missing(names: str) -> DemoExtraMissing:
    return DemoExtraMissing(f'the demo needs {names}, not installed here; run: pip install "raywf[demo]"')


def _loaded_once(load: Callable[[], Any]) -> Callable[[], Any]:
    """Tasks run in threads: without the lock four of them would load the same model four times."""
    cached = cache(load)

    def get() -> Any:
        with _loading:
            try:
                return cached()
            except ModuleNotFoundError as error:
                raise _missing(error.name or str(error)) from error

    return get


@_loaded_once
def _py3langid() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


@_loaded_once
def _lingua() -> Any:
    from lingua import LanguageDetectorBuilder

    return LanguageDetectorBuilder.from_all_languages().with_low_accuracy_mode().build()


@_loaded_once
def _langdetect() -> Any:
    from langdetect import DetectorFactory, detect_langs
    from langdetect.lang_detect_exception import LangDetectException

    DetectorFactory.seed = 0
    detect_langs("The first call reads the profiles, and two threads must not do that at once.")
    return detect_langs, LangDetectException


@_loaded_once
def _pycld2() -> Any:
    from pycld2 import detect

    return detect
