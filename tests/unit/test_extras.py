import pytest

from fairline.errors import ConfigError
from fairline.extras import need


def test_what_is_not_installed_says_how_to_get_it():
    with pytest.raises(ConfigError) as raised:
        need("no_such_library.part", "sql")
    assert str(raised.value) == "this needs no_such_library, which is not installed. pip install 'fairline[sql]'"


def test_what_is_there_is_given():
    assert need("json.decoder", "sql").JSONDecoder
