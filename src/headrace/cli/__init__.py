"""The command `headrace`: each subcommand is a module that is loaded when it is called."""

from __future__ import annotations

import sys

from cyclopts import App, CycloptsError, Parameter

from headrace import __version__
from headrace.cli.usage import HelpLines, shown_default, wrong_call

#: Subcommand, the function behind it, and what it is for.
COMMANDS = {
    "demo": ("demo:demo", "The whole thing on simulated data, with nothing to set up."),
    "simulate": ("simulate:simulate", "Write simulated events to a folder."),
    "convert": ("convert:convert", "Turn files of a vendor or venue into those of streams."),
    "plan": ("plan:plan", "Show what a use case compiles to: features, state, policy."),
    "schema": ("schema:schema", "Print the schema of a stream's events, for those who write them."),
    "train": ("train:train", "Train a use case's model on history."),
    "alternatives": (
        "alternatives:alternatives",
        "Search for models that are as accurate, and weigh less on a protected group.",
    ),
    "run": ("run:run", "Decide the events of files, folders or stdin."),
    "serve": ("serve:serve", "Decide events that come in by HTTP."),
    "backtest": ("backtest:backtest", "Show what another model or policy would have changed."),
    "explain": ("explain:explain", "Why a decision was made."),
    "notice": ("notice:notice", "Tell an applicant what was decided, and the principal reasons."),
    "prove": ("prove:prove", "Write a proof of a decision that anyone can verify."),
    "collect": ("collect:collect", "Collect a journal from its topic, or into a store of files."),
    "verify": ("verify:verify", "Check every record and every head of a journal."),
    "replay": ("replay:replay", "Rebuild decisions from the journal and compare bytes."),
    "query": ("query:query", "Ask the journal in SQL."),
    "quarantine": ("quarantine:app", "List, show and retry quarantined events."),
    "erase": ("erase:erase", "Erase one person's data."),
    "top": ("top:top", "Watch a service as it runs."),
    "access": ("access:app", "Make, list and remove the API keys of a service."),
    "compile": ("compile:compile_kernels", "Compile the kernels now, once."),
}

#: How commands are called whose argument may be left out.
USAGES = {
    "verify": "[OPTIONS] [USE_CASE]",
    "replay": "[OPTIONS] [USE_CASE]",
    "erase": "[OPTIONS] [SURROGATE]",
    "top": "[OPTIONS] [URL]",
}


def build() -> App:
    """The command with its subcommands, none of them loaded yet."""
    app = App(
        name="headrace",
        version=__version__,
        help="Streams of financial events become decisions that are fast, explained and provable.",
        result_action="return_value",
        help_format="plaintext",
        help_formatter=HelpLines(),
        default_parameter=Parameter(show_default=shown_default),
    )
    for name, (place, purpose) in COMMANDS.items():
        more = {"usage": f"headrace {name} {USAGES[name]}\n"} if name in USAGES else {}
        app.command(f"headrace.cli.{place}", name=name, help=purpose, **more)
    return app


def main() -> None:
    """Run the command; an error that a user can mend is one message, without a traceback."""
    from headrace.core.errors import HeadraceError  # noqa: PLC0415 - `--help` needs none of it

    try:
        code = build()(sys.argv[1:], exit_on_error=False, print_error=False)
    except CycloptsError as error:
        sys.stderr.write(f"{wrong_call(error)}\n")
        sys.exit(2)
    except HeadraceError as error:
        sys.stderr.write(f"headrace: {error}\n")
        sys.exit(1)
    except BrokenPipeError:
        # whoever read our output has gone; say nothing more to them
        sys.stderr.close()
        sys.exit(141)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        sys.stderr.write(
            f"headrace: {place}{error.strerror or error}; check that the path is right, that you"
            " may use it, and that the disk has room\n"
        )
        sys.exit(1)
    except KeyboardInterrupt:
        sys.stderr.write("headrace: interrupted\n")
        sys.exit(130)
    sys.exit(code if isinstance(code, int) else 0)
