"""Keys come from places; what is wrong with a place is said, and no key is ever shown."""

from __future__ import annotations

import base64
import sys
import types
from pathlib import Path

import pytest

from raywf.errors import InvalidInput, KeyMissing
from raywf.sealing import Codec
from raywf.sealing.keys import KeyRing, new_key

SECRET = base64.b64encode(bytes(range(32))).decode()


def test_the_first_key_seals_and_every_one_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# newest first\n{new_key('b')}\n{new_key('a')}  # old\n")
    monkeypatch.setenv("MORE", f"{new_key('c')},{new_key('d')}")
    ring = KeyRing([f"file:{file}", "env:MORE"])
    assert ring.ids == ["b", "a", "c", "d"]
    assert ring.first[0] == "b" and len(ring.get("d")) == 32


def test_a_function_gives_keys_where_it_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    vault = types.ModuleType("vault")
    exec(
        f"def fetch():\n    return 'k:{SECRET}'\ndef nothing():\n    return None\ndef away():\n    raise OSError('no route')",
        vault.__dict__,
    )
    monkeypatch.setitem(sys.modules, "vault", vault)
    assert Codec(keys=vault.fetch).keys == ("call:vault:fetch",)
    assert KeyRing(["call:vault:fetch"]).ids == ["k"]
    with pytest.raises(InvalidInput, match="must return text"):
        KeyRing(["call:vault:nothing"])
    with pytest.raises(KeyMissing, match="OSError: no route"):
        KeyRing(["call:vault:away"])
    with pytest.raises(InvalidInput, match="cannot be imported elsewhere"):
        Codec(keys=lambda: "k:" + SECRET)


@pytest.mark.parametrize(
    "text", ["", "# none", SECRET, "a:AAAA", f"a b:{SECRET}", f"an-id-that-is-too-long:{SECRET}", f"é:{SECRET}"]
)
def test_what_cannot_be_read_is_refused_without_being_shown(text: str, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(text)
    with pytest.raises(InvalidInput) as caught:
        KeyRing([f"file:{file}"])
    assert SECRET not in str(caught.value)
    assert "raywf keys new" in str(caught.value) or "a key's id" in str(caught.value)


@pytest.mark.parametrize("source", [SECRET, f"k:{SECRET}", "", "file:", "call:module", b"bytes", 3])
def test_a_key_in_the_place_of_a_source_is_refused_and_not_shown(source: object) -> None:
    with pytest.raises(InvalidInput, match="env:NAME, file:/path or call:module:function") as caught:
        Codec(keys=[source])  # type: ignore[list-item]
    assert SECRET not in str(caught.value)


def test_one_id_is_one_key(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text(new_key("a"))
    with pytest.raises(InvalidInput, match="another key under the id 'a'"):
        KeyRing([f"file:{tmp_path}/one", f"file:{tmp_path}/two"])


def test_a_source_that_is_not_there_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH", raising=False)
    with pytest.raises(KeyMissing, match=r"NO_SUCH is not set .*before `raywf up`"):
        KeyRing(["env:NO_SUCH"])
    with pytest.raises(KeyMissing, match="No such file"):
        KeyRing([f"file:{tmp_path}/none"])


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    """Rotation needs no restart: the running process seals with the new key within seconds, and opens it at once."""
    now = [0.0]
    file = tmp_path / "keys"
    first = new_key("a")
    file.write_text(first)
    ring = KeyRing([f"file:{file}"], lambda: now[0])
    file.write_text(f"{new_key('bb')}\n{first}")
    assert ring.first[0] == "a"
    now[0] = 6.0
    assert ring.first[0] == "bb"
    file.write_text(f"{new_key('ccc')}\n{first}")
    assert ring.get("ccc") and ring.first[0] == "ccc"
    with pytest.raises(KeyMissing, match="encrypted with key 'z', and the keys given here are ccc, a") as caught:
        ring.get("z")
    assert caught.value.key == "z"


def test_a_codec_travels_as_text_without_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K", f"k:{SECRET}")
    codec = Codec.from_env({"RAYWF_KEYS": "env:K, file:relative", "RAYWF_COMPRESS": "zlib"})
    assert Codec.from_text(codec.to_text()) == codec and SECRET not in codec.to_text()
    assert codec.keys[1].startswith("file:/"), "another process has another working directory"
    assert not Codec() and Codec().to_text() == "" and Codec.from_text("") == Codec()
    with pytest.raises(InvalidInput, match="zstd, zlib, lzma"):
        Codec(compress="gzip")
