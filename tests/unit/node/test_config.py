from pathlib import Path

import pytest

from node import config
from node.errors import ConfigurationError


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("AINODE_CONFIG", "AINODE_STATE"):
        monkeypatch.delenv(name, raising=False)


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "my.toml"
    file.write_text(text)
    return file


def test_the_defaults_need_no_file():
    settings = config.load()
    assert (settings.dicom.port, settings.http.port, settings.dicom.ae_title) == (11112, 8080, "AINODE")
    assert settings.ledger_url.startswith("sqlite:////")


def test_node_toml_in_the_working_folder_is_found(tmp_path):
    (tmp_path / "node.toml").write_text("[dicom]\nport = 104\n")
    assert config.load().dicom.port == 104


def test_the_environment_wins_over_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv("AINODE__DICOM__PORT", "4242")
    settings = config.load(written(tmp_path, '[dicom]\nport = 104\nae_title = "X"\n'))
    assert (settings.dicom.port, settings.dicom.ae_title) == (4242, "X")


def test_the_state_folder_has_a_name_of_its_own_in_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("AINODE_STATE", "elsewhere")
    assert config.load().state == Path("elsewhere")
    assert config.load(written(tmp_path, 'state = "here"\n')).state == Path("elsewhere")


def test_destinations_can_come_from_the_environment(monkeypatch):
    monkeypatch.setenv(
        "AINODE__DESTINATIONS", '[{"name": "pacs", "dicomweb_url": "http://127.0.0.1/dicom-web"}]'
    )
    assert [d.name for d in config.load().destinations] == ["pacs"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[dicom]\nport = 0", "dicom.port"),
        ('[dicom]\nae_title = "SEVENTEEN LETTERS"', "dicom.ae_title"),
        ("[nonsense]", "nonsense"),
        ('[dicom]\nhost = "10.0.0.5"', "calling_ae_titles must list who may send"),
        ('[[destinations]]\nname = "a"\nport = 104', "belong together"),
        ('[[destinations]]\nname = "a"', "give dicomweb_url"),
        ('[notices]\nurl = "alarm.example.org"', "notices.url: it is no address of a web server"),
        (
            '[[destinations]]\nname = "a"\ndicomweb_url = "u"\n'
            '[[destinations]]\nname = "a"\ndicomweb_url = "v"\n',
            "share a name",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_file(tmp_path, text, said):
    with pytest.raises(ConfigurationError, match=r"my\.toml") as refused:
        config.load(written(tmp_path, text))
    assert said in str(refused.value)


def test_an_open_address_with_a_list_of_senders_is_allowed(tmp_path):
    text = '[dicom]\nhost = "0.0.0.0"\ncalling_ae_titles = ["CT1"]\n'
    assert config.load(written(tmp_path, text)).dicom.host == "0.0.0.0"  # noqa: S104 - it is the subject
