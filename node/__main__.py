"""The command line: `ainode`, or `python -m node`.

Exit status 0: done. 1: it failed. 2: wrong use or configuration. Errors are one sentence on standard error.
"""

import logging
import sys
import warnings
from collections.abc import Sequence

import pydicom.config
import structlog
import typer

from node.commands import (
    accounts,
    enrich,
    locate,
    network,
    roles,
    science,
    training,
    training_brain,
    weights,
    worklist,
)
from node.commands.console import err
from node.errors import AINodeError, ConfigurationError, UnknownOption

app = typer.Typer(
    name="ainode",
    help="The open AI node that hospitals connect to their PACS. Research use only.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(roles.up)
app.command()(roles.listen)
app.command()(roles.work)
app.command()(roles.serve)
app.command()(science.run)
app.command()(enrich.enrich)
app.command()(locate.locate)
app.command()(training.pretrain)
app.command()(training.finetune)
app.command()(training_brain.train_brain)
app.add_typer(science.algorithms, name="algorithms")
app.add_typer(weights.weights, name="weights")
app.add_typer(worklist.routes, name="routes")
app.add_typer(worklist.workitems, name="workitems")
app.add_typer(accounts.users, name="users")
app.add_typer(accounts.tokens, name="tokens")
app.command()(network.send)
app.command()(science.phantom)
app.command()(network.doctor)


@app.callback()
def _options(
    debug: bool = typer.Option(False, "--debug", help="Show a traceback when something fails."),
) -> None:
    """Options of every command."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and leave with its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    _configure_logging()
    try:
        status = app(["--debug"] * debug + [a for a in given if a != "--debug"], standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except (AINodeError, typer.TyperException, typer.Abort, KeyboardInterrupt) as error:
        if debug:
            raise
        sys.exit(_report(error))
    except Exception as error:
        # The process edge: what nobody foresaw is still told in a sentence.
        if debug:
            raise
        sys.exit(_report(AINodeError(f"{type(error).__name__}: {error}; --debug shows where")))


def _report(error: BaseException) -> int:
    """Say what went wrong in one sentence; the exit status."""
    sentence = str(error) or "interrupted"
    if isinstance(error, typer.TyperException):
        context = getattr(error, "ctx", None)
        sentence = f"{sentence.rstrip('.')}; see `{context.command_path if context else 'ainode'} --help`"
    err.print(f"ainode: {sentence}", markup=False, highlight=False, soft_wrap=True)
    return 2 if isinstance(error, typer.TyperException | ConfigurationError | UnknownOption) else 1


def _configure_logging() -> None:
    """One line for each event on standard error: for people on a terminal, JSON elsewhere.

    Libraries may quote header values in their warnings, so theirs are not shown.
    """
    renderer = structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    logging.basicConfig(level=logging.ERROR, format="%(name)s: %(message)s")
    for library in ("pydicom", "pynetdicom"):  # what they say is said again, in one sentence
        logging.getLogger(library).setLevel(logging.CRITICAL)
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    warnings.simplefilter("ignore")


if __name__ == "__main__":
    main()
