import pytest

from fairline.errors import ConfigError
from fairline.extras import need


def test_a_missing_library_is_reported_with_the_command_to_install_it():
    with pytest.raises(ConfigError) as raised:
        need("no_such_library.part", "sql")
    assert str(raised.value) == "this needs no_such_library, which is not installed. pip install 'fairline[sql]'"


def test_an_installed_library_is_returned():
    assert need("json.decoder", "sql").JSONDecoder
