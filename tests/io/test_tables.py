"""Tables beside scans: read as people write them, and which columns tell who it is."""

from pathlib import Path

import pytest

from diascope.errors import InputError
from diascope.io.tables import identifying_columns, read_table, write_rows


@pytest.mark.parametrize(
    "text",
    [
        "case,sex,note\na,F,x\nb,M,\n",
        "case\tsex\tnote\na\tF\tx\nb\tM\n",
        "case;sex;note\r\na;F;x\r\n\r\nb;M;\r\n",
        "\ufeffcase , sex,note\na, F,x\nb,M,\n",
        '"case","sex","note"\n"a","F","x"\n"b","M",""\n',
    ],
)
def test_a_table_is_read_as_people_write_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "t").write_text(text, encoding="utf-8")

    table = read_table(tmp_path / "t")

    assert table.columns == ("case", "sex", "note")
    assert table.rows == ({"case": "a", "sex": "F", "note": "x"}, {"case": "b", "sex": "M", "note": ""})


@pytest.mark.parametrize("text", ["", "a,a\n1,2\n", "a,b\n1,2,3\n", 'a,b\n"1,2\n'])
def test_what_is_no_table_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "t").write_text(text)

    with pytest.raises(InputError) as caught:
        read_table(tmp_path / "t")
    assert caught.value.code == "bad_table"


def test_columns_that_tell_who_it_is_are_known_by_their_words() -> None:
    told = [
        "PatientName",
        "patient_name",
        "DOB",
        "birth_date",
        "StudyDate",
        "E-Mail",
        "MRN",
        "file_path",
        "SOPInstanceUID",
    ]
    kept = ["sex", "age_years", "diagnosis", "outcome", "update_needed", "dose", "candidate", "ethnic_group"]

    assert identifying_columns([*told, *kept]) == tuple(told)


def test_rows_are_written_in_the_order_of_the_columns() -> None:
    assert write_rows(("b", "a"), [{"a": 1, "b": "x,y"}]) == 'b,a\n"x,y",1\n'
