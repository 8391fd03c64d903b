"""Four sources that speak the same codes, or say what to install."""

import builtins
import math
import pickle

import pytest

from raywf.demo import identifiers
from raywf.demo.identifiers import IDENTIFIERS, DemoExtraMissing, require_all
from raywf.errors import RaywfError


@pytest.fixture(autouse=True)
def _installed() -> None:
    for package in IDENTIFIERS:
        pytest.importorskip(package)


@pytest.mark.parametrize("name", IDENTIFIERS)
@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Jeg fikk ikke logget inn, og nå vet jeg ikke hva jeg skal gjøre med passordet mitt", "no"),
        ("El paquete todavía no ha llegado y nadie contesta el teléfono", "es"),
        ("今月の請求書がまだ届いていません。確認をお願いします。", "ja"),
        ("这个月的账单还没有收到，请帮我查一下。", "zh"),
        ("החבילה עדיין לא הגיעה ואף אחד לא עונה לטלפון", "he"),
    ],
)
def test_all_speak_the_same_codes(name: str, text: str, language: str) -> None:
    found = IDENTIFIERS[name](text)
    assert next(iter(found)) == language
    assert math.isclose(math.fsum(found.values()), 1.0, abs_tol=1e-6)
    assert all(len(code) == 2 for code in found)


@pytest.mark.parametrize("name", IDENTIFIERS)
@pytest.mark.parametrize("text", ["", "   ", "???", "12345 67890", "\x00\x80\ud800", "🙂"])
def test_text_without_words_never_raises(name: str, text: str) -> None:
    found = IDENTIFIERS[name](text)
    assert found == {} or math.isclose(math.fsum(found.values()), 1.0, abs_tol=1e-6)


@pytest.mark.parametrize("name", IDENTIFIERS)
def test_the_same_text_gives_the_same_answer(name: str) -> None:
    text = "hej, pakken er her ikke"
    assert IDENTIFIERS[name](text) == IDENTIFIERS[name](text)


def test_codes_that_mean_the_same_are_added_up() -> None:
    assert identifiers._normalised([("nb", 0.2), ("nn", 0.2), ("da", 0.5), ("un", 3.0), ("haw", 1.0)]) == {
        "da": pytest.approx(5 / 9),
        "no": pytest.approx(4 / 9),
    }


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identifiers, "find_spec", lambda name: None if name == "pycld2" else object())
    with pytest.raises(DemoExtraMissing, match=r'pycld2.*pip install "raywf\[demo\]"') as refused:
        require_all()
    assert isinstance(refused.value, RaywfError)
    assert str(pickle.loads(pickle.dumps(refused.value))) == str(refused.value)


def test_a_package_that_vanishes_later_says_so_too(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: object, **kwargs: object) -> object:
        if name == "gone":
            raise ModuleNotFoundError("No module named 'gone'", name="gone")
        return real(name, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DemoExtraMissing, match="gone"):
        identifiers._loaded_once(lambda: __import__("gone"))()
