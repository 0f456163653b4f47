from fairline.output.console import open_console
from fairline.output.records import belief_report
from fairline.pricing.belief import Record


def test_the_record_of_each_model_is_a_table(capsys):
    record = Record("elo", "Sports", k=0.4, cap=0.052, estimate=0.5, standard_error=0.1, events=2_000)
    open_console().print(belief_report([record]))
    shown = capsys.readouterr().out.split()
    for text in ("elo", "Sports", "50%", "10%", "2,000", "40%", "5.2"):
        assert text in shown


def test_without_settled_markets_it_says_so(capsys):
    open_console().print(belief_report([]))
    assert "No model has a record yet" in capsys.readouterr().out
