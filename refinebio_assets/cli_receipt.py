"""`refinebio receipt`: where one value comes from, in words or as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from refinebio_assets.command import err, errors_told, out

if TYPE_CHECKING:
    from refinebio_assets.resources.receipts import Receipt


def receipt(
    gene: Annotated[str, typer.Argument(help="Id or symbol.")],
    sample: Annotated[str, typer.Argument(help="GSM…, SRR…, or a sample of your own.")],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    check: Annotated[
        bool, typer.Option("--verify", help="Compare what is still there with the digests.")
    ] = False,
) -> None:
    """Say where a value comes from: raw files, reference, programs, versions, run."""
    from refinebio_assets.resources.receipts import receipt_of, verify
    from refinebio_assets.resources.storage import Storage
    from refinebio_assets.resources.warehouse import Warehouse

    storage = Storage()
    changed = False
    with errors_told():
        with Warehouse().connect(storage) as database:
            found = receipt_of(database, storage, gene, sample)
        if as_json:
            text = json.dumps([each.to_json() for each in found], indent=1)
            out.print(text, markup=False, highlight=False)
        for each in found:
            if not as_json:
                _show(each)
            for looked_at in verify(storage, each) if check else ():
                changed |= looked_at.state == "changed"
                err.print(f"{looked_at.what}: {looked_at.state}", markup=False, highlight=False)
    if changed:
        raise typer.Exit(1)


def _show(found: Receipt) -> None:
    told = found.to_json()
    symbol = f" ({told['symbol']})" if told["symbol"] else ""
    lines = [
        f"{told['gene']}{symbol} in {told['sample']} of {told['experiment']}: {told['value']:.6g}",
        f"  made by      {told['method']}, {told['program']}",
        f"  reference    {told['reference']}, release {told['reference_release']}",
        f"               {told['reference_sha256']}",
        f"  code         refinebio_assets {told['code_version']}",
        f"  run          {told['run_id']}, {told['recorded_at']}",
        f"  record       {told['source_url']}",
    ]
    for each in told["raw_files"]:
        lines.append(f"  raw file     {each['name']}  {each['source_url'] or ''}".rstrip())
        lines.append(f"               sha256 {each['sha256'] or 'not known'}")
    out.print("\n".join(lines), markup=False, highlight=False)
