"""What `meds report` prints of its data."""

from meds_rl.cli.report import summary

ESCAPE = "\x1b[2J\x07\u202e"


def test_each_runs_sentences_its_outlook_and_the_comparison_without_control_characters():
    data = {
        "runs": [{"id": 0, "name": f"dapo{ESCAPE}", "notes": [f"a note{ESCAPE}"]}],
        "headlines": [{"run": 0, "text": f"The most repeated error is x{ESCAPE}."}],
        "outlooks": [{"run": 0, "sentence": f"Stuck: y{ESCAPE}."}],
        "verdicts": [f"pass@1 of z{ESCAPE}."],
        "side_by_side": {
            "by": "steps",
            "num_prompts": 2,
            "columns": [{"name": f"dapo{ESCAPE}", "runs": [0], "wrong": [0.5, 0.6, 0.4]}],
            "errors": [{"name": f"a\nb{ESCAPE}", "written": None, "prompt": None, "shares": [[0.4, 0.5, None]]}],
        },
        "prompts": [],
        "differences": None,
        "notes": [],
    }
    lines = summary(data)
    assert lines == [
        "dapo [2J:",
        "  The most repeated error is x [2J .",
        "  Would a memory help? Stuck: y [2J .",
        "  Note: a note [2J",
        "pass@1 of z [2J .",
        "Errors side by side, of the wrong completions to the 2 prompts that all runs had (first to last third of the "
        "run):",
        "  Wrong completions, of all: dapo [2J 50 % (60 % to 40 %)",
        "  a b [2J : dapo [2J 40 % (50 % to –)",
    ]
