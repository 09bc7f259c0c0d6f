"""`gateway check`, `test` and `schema`: mistakes found before events find them."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec
from rich.markup import escape

from gateway.cli.cases import CaseResult, run_cases
from gateway.cli.output import (
    EXIT_FAILED,
    EXIT_GOOD,
    EXIT_INVALID,
    counted,
    json_option,
    out,
    print_json,
    print_problems,
)
from gateway.cli.project import load_rulebook
from gateway.cli.settings import environment
from gateway.config.cases import read_cases
from gateway.config.schema import mapping_file_schema
from gateway.core.errors import Problem
from gateway.core.rulebook import Rulebook
from gateway.service.shelf import shipped

folder_option = click.option(
    "--mappings",
    "folder",
    type=click.Path(path_type=Path),
    default=None,
    help="Folder of the mapping files [GATEWAY_MAPPINGS].",
)
fixtures_option = click.option(
    "--fixtures",
    type=click.Path(path_type=Path),
    default=Path("fixtures"),
    show_default=True,
    help="Folder of the cases' events.",
)


def _problem_fields(problem: Problem) -> dict[str, object]:
    return {name: getattr(problem, name) for name in Problem.__struct_fields__}


@click.command()
@folder_option
@fixtures_option
@click.option("--secrets", "strict", is_flag=True, help="A secret that is not set here is an error, not a warning.")
@json_option
def check(folder: Path | None, fixtures: Path, *, strict: bool, as_json: bool) -> None:
    """Check every file of mappings/ and run its cases; print all problems of all files at once.

    Exit code 0: good (warnings allowed). 1: a case fails. 2: a file would not load.
    """
    folder = folder or environment().mappings
    loaded = load_rulebook(folder, strict_secrets=strict)
    cases, case_problems = read_cases(folder, fixtures)
    problems = [*loaded.problems, *case_problems]
    results = run_cases(cases, loaded.value) if loaded.value else []
    problems += [warning for result in results for warning in result.warnings]
    failed = [result for result in results if not result.passed]
    code = EXIT_INVALID if any(one.severity == "error" for one in problems) else EXIT_FAILED if failed else EXIT_GOOD
    if as_json:
        print_json(
            {
                "valid": code == EXIT_GOOD,
                "problems": [_problem_fields(problem) for problem in problems],
                "cases": [_case_fields(result) for result in results],
            }
        )
    else:
        print_problems(problems)
        _print_failed(failed)
        _print_summary(loaded.value, problems, results)
    raise click.exceptions.Exit(code)


@click.command()
@folder_option
@fixtures_option
@click.argument("words", nargs=-1)
@json_option
def test(folder: Path | None, fixtures: Path, words: tuple[str, ...], *, as_json: bool) -> None:
    """Run the cases beside the mappings, each on its own line. WORDS: only cases whose name or mapping holds one of them.

    Exit code 0: all pass. 1: one fails. 2: the mappings do not load, or there is no case.
    """
    folder = folder or environment().mappings
    loaded = load_rulebook(folder, strict_secrets=False)
    cases, problems = read_cases(folder, fixtures)
    errors = [problem for problem in (*loaded.errors, *problems) if problem.severity == "error"]
    if loaded.value is None or errors:
        print_problems(errors)
        raise click.exceptions.Exit(EXIT_INVALID)
    chosen = [case for case in cases if not words or any(word in f"{case.name} {case.mapping}" for word in words)]
    results = run_cases(chosen, loaded.value)
    if as_json:
        print_json([_case_fields(result) for result in results])
    else:
        for result in results:
            mark = "[green]pass[/green]" if result.passed else "[red]FAIL[/red]"
            out.print(
                f"{mark}  {escape(result.case.destination)} · {escape(result.case.mapping)} · {escape(result.case.name)}"
            )
        _print_failed([result for result in results if not result.passed])
        out.print(f"{sum(result.passed for result in results)} of {len(results)} cases pass")
    if not results:
        raise click.exceptions.Exit(EXIT_INVALID)
    raise click.exceptions.Exit(EXIT_GOOD if all(result.passed for result in results) else EXIT_FAILED)


@click.command()
@click.option(
    "--write", type=click.Path(path_type=Path, dir_okay=False), default=None, help="Write it to a file instead."
)
def schema(write: Path | None) -> None:
    """Print the JSON Schema of a mapping file, for editors."""
    text = msgspec.json.format(
        msgspec.json.encode(mapping_file_schema(one.definition for one in shipped().values())), indent=2
    )
    if write is None:
        click.echo(text.decode())
    else:
        write.write_bytes(text + b"\n")


def _case_fields(result: CaseResult) -> dict[str, object]:
    return {
        "file": result.case.file,
        "name": result.case.name,
        "mapping": result.case.mapping,
        "passed": result.passed,
        "difference": result.difference,
    }


def _print_failed(failed: list[CaseResult]) -> None:
    for result in failed:
        case = result.case
        out.print(
            f"[red]failed [/red]  {escape(case.file)}#{escape(case.pointer)}[dim]  line {case.line}[/dim]",
            soft_wrap=True,
        )
        out.print(f"  {escape(case.name)}: {escape(result.difference)}", soft_wrap=True)


def _print_summary(rulebook: Rulebook | None, problems: list[Problem], results: list[CaseResult]) -> None:
    errors = sum(problem.severity == "error" for problem in problems)
    warnings = len(problems) - errors
    if rulebook is None:
        out.print(f"[red]would not load[/red]: {counted(errors, 'error')}, {counted(warnings, 'warning')}")
        return
    mappings = sum(len(one.mappings) for one in rulebook.destinations)
    passed = sum(result.passed for result in results)
    out.print(
        f"{counted(len(rulebook.destinations), 'destination')}, {counted(mappings, 'mapping')}, "
        f"{counted(len(rulebook.sources), 'source')}: {counted(errors, 'error')}, {counted(warnings, 'warning')}; "
        f"{passed} of {counted(len(results), 'case')} {'passes' if len(results) == 1 else 'pass'}"
    )
