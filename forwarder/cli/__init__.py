"""The command ``forwarder``: one file a command, and what they all share.

A command is thin: settings in, calls, a table or JSON out. It imports what is heavy inside its function, so that
``forwarder --version`` and shell completion answer at once. What it raises becomes the exit status here, in one place:
a :class:`~forwarder.errors.ForwarderError` its own, wrong usage 2, anything unforeseen 70 with a traceback in the log.
"""

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from forwarder import __version__
from forwarder.cli import check, config, dead_letters, demo, journal, run, simulate, status
from forwarder.cli.context import Invocation
from forwarder.errors import ConfigurationError, ForwarderError

INTERNAL_ERROR = 70

app = typer.Typer(
    name="forwarder",
    help="Forward Persona's User Audit Logs to Kafka, syslog and Splunk, and lose none of them.",
    epilog="Everything is configured by FORWARDER_… variables: `forwarder config --reference` lists them.",
    no_args_is_help=True,
    # A traceback drawn for people may show local variables; ours go to the log, and show none.
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"forwarder {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    ctx: typer.Context,
    env_file: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            readable=True,
            help="Read FORWARDER_… variables from this file too; the environment must not contradict it.",
        ),
    ] = None,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    del version  # its callback has done the work
    ctx.obj = Invocation(env_file)


app.command("run")(run.run)
app.command("check")(check.check)
app.command("config")(config.config)
app.command("status")(status.status)
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(journal.app, name="journal")
app.command("simulate", epilog=simulate.EPILOG)(simulate.simulate)
app.command("demo")(demo.demo)


def main() -> NoReturn:
    """Run the command line of this process and exit with the contract's status."""
    try:
        typer.main.get_command(app)(prog_name="forwarder")
    except ConfigurationError as error:
        _complain(str(error))
        sys.exit(error.exit_status)
    except ForwarderError as error:
        _complain(f"forwarder: {error}")
        sys.exit(error.exit_status)
    except Exception:  # noqa: BLE001 # the last resort of the process: logged whole, and the status says so
        _log_traceback()
        sys.exit(INTERNAL_ERROR)
    sys.exit(0)


def _complain(text: str) -> None:
    print(text, file=sys.stderr)


def _log_traceback() -> None:
    import structlog  # only here: most commands end without a log line

    from forwarder import logs

    if not structlog.is_configured():
        logs.configure()
    logs.get_logger().critical("process.failed", exc_info=True)
