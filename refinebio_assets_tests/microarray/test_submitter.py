"""Submitters' tables: real ones, every way in which one may be written, and broken ones."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
from contextlib import suppress
from functools import cache
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refinebio_assets.errors import (
    IdentifiersNotRecognised,
    InvalidExpressionTable,
    InvalidProbeAnnotation,
    MissingProbeAnnotation,
    NoExpressionColumn,
    RawFileMissing,
    RefinebioError,
    SampleNotInTable,
    UndecodableTable,
)
from refinebio_assets.microarray import submitter
from refinebio_assets.microarray.submitter import (
    NO_VALUE,
    illumina_to_genes,
    read_soft_table,
    read_table,
    to_genes,
)
from refinebio_assets.sources.miniml import extract_family
from refinebio_assets.sources.soft import read_soft
from refinebio_assets_tests.conftest import shared_data

GSM11805 = "geo/GSM11805.txt.gz"
ROWS = [("1007_s_at", 7.25), ("1053_at", -0.5), ("117_at", 1200.0)]


def _table(tmp_path: Path, content: bytes | str) -> Path:
    path = tmp_path / "GSM1.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def _tsv(path: Path) -> pl.DataFrame:
    return pl.read_csv(
        path, separator="\t", infer_schema=False, quote_char=None, null_values=["NA", ""]
    )


# --- real tables ----------------------------------------------------------------------


def test_a_real_sample_in_soft() -> None:
    table = read_soft_table(shared_data(GSM11805), "GSM11805")
    assert table.schema == {"id": pl.String, "value": pl.Float64}
    assert table.rows()[:2] == [("AFFX-BioB-5_at", 953.9), ("AFFX-BioB-M_at", 2982.8)]
    assert table.rows()[-1] == ("222384_at", 26.4)
    assert (len(table), sum(table.null_count().row(0))) == (22283, 0)


@pytest.mark.parametrize(
    ("relative", "named"),
    [
        ("GSE2018.soft.gz", 4),
        ("GSE26927.soft.gz", 3),
        ("GSE3791_family.soft.gz", 4),
        ("GSE14618.soft.gz", 2),
    ],
)
def test_of_real_tables_with_calls_and_p_values_the_values_are_taken(
    relative: str, named: int
) -> None:
    path = shared_data(f"geo/soft/{relative}")
    with path.open("rb") as file:
        sample = next(entity for entity in read_soft(file) if entity.kind == "SAMPLE")
    rows: list[list[str]] = []
    with path.open("rb") as file:
        assert list(read_soft(file, rows_of=sample.name, on_row=rows.append))
    assert len(rows[0]) == named
    found = read_soft_table(path, sample.name)
    assert found.rows() == [(row[0], float(row[1])) for row in rows[1:]]


def test_miniml_gives_what_soft_gives(tmp_path: Path) -> None:
    rows: list[list[str]] = []
    with shared_data(GSM11805).open("rb") as file:
        assert list(read_soft(file, rows_of="GSM11805", on_row=rows.append))
    columns = "".join(
        f"<Column position='{at}'><Name>{name}</Name></Column>" for at, name in enumerate(rows[0])
    )
    members = {
        "GSE781_family.xml": f"<MINiML><Sample iid='GSM11805'><Data-Table>{columns}"
        "</Data-Table></Sample></MINiML>",
        "GSM11805-tbl-1.txt": "".join("\t".join(row) + "\n" for row in rows[1:]),
    }
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as file:
        for name, text in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            file.addfile(member, io.BytesIO(text.encode()))
    archive.seek(0)
    table = extract_family(archive, tmp_path).tables["GSM11805"]
    assert table.columns == ("ID_REF", "VALUE", "ABS_CALL")
    found = read_table(table.path, table.columns)
    assert found.equals(read_soft_table(shared_data(GSM11805), "GSM11805"))


def test_a_real_bead_summary_whose_ids_have_no_name() -> None:
    table = read_table(shared_data("illumina/GSM744991.txt"), illumina=True)
    assert table.rows()[:2] == [("ILMN_1885639", 1.4412), ("ILMN_2209417", -2.1551)]
    assert len(table) == 48803


# --- ways of writing a table ----------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        "ID_REF\tVALUE\n",
        "id_ref\tlog2 ratio\n",
        "Reporter Identifier\tGSM1 signal\n",
        '"ID_REF"\t"VALUE"\n',
        "\tGSM1\n",
        "VALUE\n",
        "Hybridization REF\thyb 1\nComposite Element REF\tCHPSignal\n",
        "Hybridization REF\t12\nReporter REF\tVALUE\n",
        "",
        "\n\n",
        "ID_REF\tVALUE\t\t\n",
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_any_header_or_none(header: str, end: str, tmp_path: Path) -> None:
    text = header + "".join(f"{each}\t{value}\n" for each, value in ROWS)
    for content in (text, text.rstrip("\n"), "\ufeff" + text):
        path = _table(tmp_path, content.replace("\n", end))
        assert read_table(path).rows() == ROWS


@pytest.mark.parametrize(
    ("columns", "row"),
    [
        (("ID_REF", "VALUE"), "{id}\t{value}"),
        (("ID_REF", "VALUE"), "{id}\t{value}\t\t"),
        (("ID_REF", "VALUE", "ABS_CALL"), "{id}\t{value}\tP"),
        (("ID_REF", "VALUE", "ABS_CALL", "DETECTION P-VALUE"), "{id}\t{value}\tP\t0.01"),
        (("ID_REF", "ABS_CALL", "VALUE", "GROUP"), "{id}\tP\t{value}\t7"),
        (("ROW", "ID_REF", "SIGNAL"), "5\t{id}\t{value}"),
    ],
)
def test_columns_are_taken_by_name(columns: tuple[str, ...], row: str, tmp_path: Path) -> None:
    text = "".join(row.format(id=each, value=value) + "\n" for each, value in ROWS)
    if columns[0] != "ROW":
        assert read_table(_table(tmp_path, text), columns).rows() == ROWS
        assert read_table(_table(tmp_path, "\t".join(columns) + "\n" + text)).rows() == ROWS
        return
    with pytest.raises(NoExpressionColumn):
        read_table(_table(tmp_path, text), columns)


def test_a_last_column_that_ends_early(tmp_path: Path) -> None:
    path = _table(tmp_path, "a\t1\nb\t2\tP\nc\nd\t\tA\n")
    assert read_table(path, ("ID_REF", "VALUE", "ABS_CALL")).rows() == [
        ("a", 1.0),
        ("b", 2.0),
        ("c", None),
        ("d", None),
    ]


def test_unnamed_p_values_of_a_bead_array(tmp_path: Path) -> None:
    text = "ILMN_1\t7\t0.01\nILMN_2\t8\t1\nILMN_3\t9\tNA\n"
    assert read_table(_table(tmp_path, text), illumina=True)["value"].to_list() == [7, 8, 9]
    with pytest.raises(InvalidExpressionTable, match="3 columns"):
        read_table(_table(tmp_path, text))
    with pytest.raises(InvalidExpressionTable, match="no p-values"):
        read_table(_table(tmp_path, text.replace("0.01", "7.01")), illumina=True)


def test_encodings(tmp_path: Path) -> None:
    text = "ID_REF\tVALUE\tDetection call\na_at\t1\tµ\nb_at\t2\té\n"
    for encoding in ("utf-8", "utf-8-sig", "latin-1"):
        found = read_table(_table(tmp_path, text.encode(encoding)))
        assert found.rows() == [("a_at", 1.0), ("b_at", 2.0)]
    for content in (text.encode("utf-16"), text.replace("é", "’").encode("cp1252")):
        with pytest.raises(UndecodableTable):
            read_table(_table(tmp_path, content))


@pytest.mark.parametrize("token", [*sorted(NO_VALUE), "Inf", "-inf", "NaN", "1e400", "1e39"])
def test_what_stands_for_no_value(token: str, tmp_path: Path) -> None:
    path = _table(tmp_path, f"a_at\t1.5\nb_at\t{token.upper()}\nnan\t2\n")
    assert read_table(path).rows() == [("a_at", 1.5), ("b_at", None), ("nan", 2.0)]
    # as the first row it is no header, either
    path = _table(tmp_path, f"a_at\t{token}\nb_at\t2\n")
    assert read_table(path).rows() == [("a_at", None), ("b_at", 2.0)]


def test_rows_without_id_stay_and_rows_with_nothing_do_not(tmp_path: Path) -> None:
    path = _table(tmp_path, "a_at\t1\n\nNA\t2\n\t\n\t3\nb_at\t\n")
    assert read_table(path).rows() == [("a_at", 1), (None, 2), (None, 3), ("b_at", None)]


@pytest.mark.parametrize(
    ("content", "error", "match"),
    [
        ("", InvalidExpressionTable, "does not begin with two"),
        ("\n\n", InvalidExpressionTable, "does not begin with two"),
        ("1007_s_at\n1053_at\n", InvalidExpressionTable, "does not begin with two"),
        ("1007_s_at,7.5\n1053_at,5\n", InvalidExpressionTable, "does not begin with two"),
        ("ID_REF\tVALUE\n", InvalidExpressionTable, "no value"),
        ("a_at\tNA\nb_at\t\n", InvalidExpressionTable, "no value"),
        ("a_at\t1\nb_at\t1,5\n", InvalidExpressionTable, "b_at as 1,5"),
        ("a_at\t1\nb_at\t2\t3\n", InvalidExpressionTable, "more columns"),
        ("a_at\t1\nb_at\t2\nc_at\t3\t4\n", InvalidExpressionTable, "more than the 2"),
        ("a_at\t1\t2\t3\nb_at\t2\t3\t4\n", InvalidExpressionTable, "4 columns, and no names"),
        ("ID_REF\tone\ttwo\na_at\t2\t3\n", NoExpressionColumn, "several"),
        ("ID_REF\tVALUE\tVALUE\na_at\t2\t3\n", NoExpressionColumn, "several"),
        ("ID_REF\tDetection Pval\na_at\t0.2\n", NoExpressionColumn, "none"),
        ("ID_REF\tVALUE\na_at\t2" + "\t" * 100 + "\n", InvalidExpressionTable, "more columns"),
        (b"\x1f\x8b\x08\x00cut", InvalidExpressionTable, "gzip"),
        ("a_at\t" + "1" * 70_000, InvalidExpressionTable, "first row has no end"),
        (b"PK\x03\x04\0\0", UndecodableTable, "not text"),
        ("^SAMPLE = GSM1\n!Sample_title = x\n", InvalidExpressionTable, "does not begin"),
        ("<html>\n<body>\n", InvalidExpressionTable, "does not begin"),
    ],
)
def test_tables_that_cannot_be_understood(
    content: bytes | str, error: type[RefinebioError], match: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=match) as caught:
        read_table(_table(tmp_path, content))
    assert caught.value.blames_sample


def test_missing_files(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.txt", tmp_path):
        with pytest.raises(RawFileMissing):
            read_table(path)
        with pytest.raises(RawFileMissing):
            read_soft_table(path, "GSM1")


def test_size_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "".join(f"{row}_at\t{row}\n" for row in range(1000))
    soft = f"^SAMPLE = GSM1\n!sample_table_begin\nID_REF\tVALUE\n{text}!sample_table_end\n"
    for name, limit in (("MOST_ROWS", 999), ("LARGEST_TABLE", len(text) - 1)):
        with monkeypatch.context() as patched:
            patched.setattr(submitter, name, limit)
            with pytest.raises(InvalidExpressionTable, match="not the table of one array"):
                read_table(_table(tmp_path, gzip.compress(text.encode())))
            with pytest.raises(InvalidExpressionTable, match="not the table of one array"):
                read_soft_table(_table(tmp_path, soft), "GSM1")
    assert len(read_soft_table(_table(tmp_path, soft), "GSM1")) == 1000


def test_soft_text_without_the_table(tmp_path: Path) -> None:
    path = shared_data(GSM11805)
    with pytest.raises(SampleNotInTable, match="no sample GSM1"):
        read_soft_table(path, "GSM1")
    for content in ("", "no soft", "^SAMPLE = GSM1\n!sample_table_begin\nID_REF\tVALUE\na\t1\n"):
        with pytest.raises(InvalidExpressionTable):
            read_soft_table(_table(tmp_path, content), "GSM1")
    with pytest.raises(InvalidExpressionTable, match="no table"):
        read_soft_table(_table(tmp_path, "^SAMPLE = GSM1\n!Sample_title = x\n"), "GSM1")
    with pytest.raises(InvalidExpressionTable, match="more columns"):
        read_soft_table(
            _table(
                tmp_path,
                "^SAMPLE = GSM1\n!sample_table_begin\nID_REF\tVALUE\na\t1\t2\n!sample_table_end",
            ),
            "GSM1",
        )


# --- property: what is written is read ------------------------------------------------

IDS = (
    st.text("abcABC0189_.-/|' ", min_size=1, max_size=12)
    .map(str.strip)
    .filter(lambda text: text not in ("", "NA") and not text.lower().endswith(" ref"))
)
VALUES = st.none() | st.floats(-1e30, 1e30)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(IDS, VALUES), min_size=1, max_size=20),
    st.sampled_from(["plain", "header", "columns"]),
    st.booleans(),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["", "NA", "NaN", "null"]),
    st.booleans(),
    st.booleans(),
)
def test_any_table_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, float | None]],
    naming: str,
    quoted: bool,
    end: str,
    missing: str,
    packed: bool,
    last_end: bool,
) -> None:
    def cell(text: str) -> str:
        return f'"{text}"' if quoted else text

    names = ["ID_REF", "VALUE", "ABS_CALL"] if naming != "plain" else ["ID_REF", "VALUE"]
    lines = [
        [cell(each), missing if value is None else repr(value), "P"][: len(names)]
        for each, value in rows
    ]
    if naming == "header":
        lines.insert(0, [cell(name) for name in names])
    text = end.join("\t".join(line) for line in lines) + end * last_end
    content = text.encode()
    path = _table(tmp_path_factory.mktemp("table"), gzip.compress(content) if packed else content)
    columns = names if naming == "columns" else ()
    if all(value is None for _, value in rows):
        with pytest.raises(InvalidExpressionTable):
            read_table(path, columns)
    else:
        assert read_table(path, columns).rows() == rows


def _mutated(content: bytes, seed: int) -> bytes:
    chance = random.Random(seed)  # noqa: S311
    changed = bytearray(content)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(changed))
        match chance.randrange(5):
            case 0:
                changed[at] = chance.randrange(256)
            case 1:
                del changed[at : at + chance.choice((1, 10, 1000))]
            case 2:
                changed[at:at] = chance.choice(
                    (
                        b"\t",
                        b"\n",
                        b"\t\t\t",
                        b'"',
                        b"\r",
                        b"\0",
                        b"\n\n",
                        b"\xff",
                        b"NA",
                        b"\t" * 99,
                    )
                )
            case 3:
                changed[at:at] = changed[at : at + chance.randrange(2000)]
            case _:
                del changed[max(at, 20) :]
    return bytes(changed)


@cache
def _starts() -> list[bytes]:
    soft = gzip.decompress(shared_data(GSM11805).read_bytes())[: 40 << 10]
    soft = soft[: soft.rindex(b"\n") + 1] + b"!sample_table_end\n"
    beads = shared_data("illumina/GSM744991.txt").read_bytes()[: 20 << 10]
    return [soft, beads, soft[soft.index(b"ID_REF\tVALUE") :], gzip.compress(beads)]


@pytest.mark.parametrize("seed", range(150))
def test_mutated_real_files_are_read_or_refused(seed: int, tmp_path: Path) -> None:
    path = _table(tmp_path, _mutated(_starts()[seed % 4], seed))
    for read in (
        lambda: read_soft_table(path, "GSM11805"),
        lambda: read_table(path),
        lambda: read_table(path, ("ID_REF", "VALUE", "ABS_CALL"), illumina=True),
    ):
        with suppress(RefinebioError):
            table = read()
            assert table.schema == {"id": pl.String, "value": pl.Float64}
            assert table["value"].count()
            assert table["value"].drop_nulls().is_finite().all()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | st.text('ID_REFVALUE\t\n\r"1.eNA', max_size=80).map(str.encode))
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = _table(tmp_path_factory.mktemp("bytes"), content)
    for columns in ((), ("ID_REF", "VALUE"), ("", "")):
        with suppress(RefinebioError):
            assert read_table(path, columns, illumina=True)["value"].count()


# --- ids to genes ---------------------------------------------------------------------


@cache
def _yeast() -> pl.DataFrame:
    return _tsv(shared_data("gene_maps/yeast2.tsv.gz"))


def _expected(table: pl.DataFrame, id_map: pl.DataFrame, kind: str) -> list[tuple[str, float]]:
    genes: dict[str, list[str]] = {}
    for each, gene in id_map.select(kind, pl.col("ENSEMBL").alias("gene")).iter_rows():
        if each and gene and gene not in genes.setdefault(each, []):
            genes[each].append(gene)
    return [(gene, value) for each, value in table.iter_rows() for gene in genes.get(each, [])]


@pytest.mark.parametrize("kind", ["PROBEID", "ENSEMBL", "ENTREZID", "REFSEQ"])
def test_every_kind_of_id_of_a_real_map(kind: str) -> None:
    id_map = _yeast()
    ids = id_map[kind].drop_nulls().unique(maintain_order=True)
    table = pl.DataFrame({"id": ids, "value": [float(at) for at in range(len(ids))]})
    found = to_genes(table, id_map)
    assert found.recognised_as == kind
    assert found.share_of_rows == found.share_of_known == 1
    assert found.values.rows() == _expected(table, id_map, kind)
    assert (found.rows, found.mapped, found.missing) == (len(ids), len(ids), 0)
    if kind == "ENSEMBL":
        assert found.values.rows() == table.rows()


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_conversion_is_the_join_that_the_rules_say(data: st.DataObject) -> None:
    id_map = _yeast()
    kind = data.draw(st.sampled_from(id_map.columns))
    known = id_map[kind].drop_nulls().unique(maintain_order=True).to_list()
    rows = data.draw(
        st.lists(
            st.tuples(
                st.sampled_from(known) | st.none() | st.sampled_from(["foreign 1", "foreign 2"]),
                st.none() | st.floats(-100, 100),
            ),
            min_size=1,
            max_size=30,
        )
    )
    table = pl.DataFrame(rows, {"id": pl.String, "value": pl.Float64}, orient="row")
    recognised = len({each for each, _ in rows} & set(known))
    if recognised < len(rows) / 2:
        with pytest.raises(IdentifiersNotRecognised):
            to_genes(table, id_map)
        return
    expected = _expected(table, id_map, kind)
    found = to_genes(table, id_map)
    assert found.recognised_as == kind
    assert found.values.rows() == expected
    assert found.share_of_rows == recognised / len(rows)
    assert found.mapped == sum(each in known for each, _ in rows)
    assert found.missing == sum(value is None for _, value in rows)


def test_half_of_the_rows_is_enough_and_less_is_not() -> None:
    id_map = pl.DataFrame({"PROBEID": ["a", "b"], "ENSEMBL": ["G1", "G2"]})
    half = pl.DataFrame({"id": ["a", "b", "x", "y"], "value": [1.0, 2, 3, 4]})
    assert to_genes(half, id_map).values.rows() == [("G1", 1.0), ("G2", 2.0)]
    repeated = pl.DataFrame({"id": ["a", "a", "a"], "value": [1.0, 2, 3]})  # one id, three rows
    with pytest.raises(IdentifiersNotRecognised, match="PROBEID"):
        to_genes(repeated, id_map)


def test_a_real_table_against_a_real_platform() -> None:
    """The map of HG-Focus has 7,698 of the 22,283 probe sets of HG-U133A: too few, but right."""
    mapping = _tsv(shared_data("affymetrix/annotation/HGFocus_Hs_ENSG_mapping.txt.gz"))
    id_map = mapping.select(
        PROBEID="Affy Probe Set Name",
        ENSEMBL=pl.col("Probe Set Name").str.strip_suffix("_at"),
    ).unique(maintain_order=True)
    table = read_soft_table(shared_data(GSM11805), "GSM11805")
    with pytest.raises(IdentifiersNotRecognised, match="Of 22283 rows"):
        to_genes(table, id_map)
    of_focus = table.filter(pl.col("id").is_in(id_map["PROBEID"].implode()))
    found = to_genes(of_focus, id_map)
    assert found.recognised_as == "PROBEID"
    assert found.mapped == found.rows == len(of_focus) == 7698
    assert found.values.rows() == _expected(of_focus, id_map, "PROBEID")
    values = dict(found.values.filter(pl.col("gene") == "ENSG00000000003").iter_rows())
    assert values == {"ENSG00000000003": dict(table.iter_rows())["209108_at"]}


def test_a_map_without_genes() -> None:
    table = pl.DataFrame({"id": ["a"], "value": [1.0]})
    with pytest.raises(InvalidProbeAnnotation):
        to_genes(table, pl.DataFrame({"PROBEID": ["a"]}))
    with pytest.raises(IdentifiersNotRecognised):
        to_genes(table, pl.DataFrame({"PROBEID": ["a"], "ENSEMBL": [None]}))


# --- BeadArrays -----------------------------------------------------------------------


@cache
def _human() -> dict[str, pl.DataFrame]:
    return {
        version: _tsv(shared_data(f"illumina/bead_maps/{version}_bead_level_mapping.tsv.gz"))
        .select(probe="Probe_Id")
        .unique(maintain_order=True)
        .join(
            _tsv(shared_data(f"illumina/probe_maps/illuminaH{version[1:]}.tsv")).select(
                probe="probe_id", gene="ensembl_id"
            ),
            on="probe",
            how="left",
            maintain_order="left",
        )
        for version in ("humanv1", "humanv2", "humanv3", "humanv4")
    }


def test_real_bead_arrays_are_told_apart() -> None:
    """HumanRef-8 v2 (GPL6104) has half of the probes of v2; the other is the whole of v3."""
    reference = illumina_to_genes(
        read_soft_table(shared_data("illumina/GSM343927.soft.gz"), "GSM343927"), _human()
    )
    assert (reference.recognised_as, reference.share_of_rows) == ("humanv2", 1)
    assert reference.share_of_known == pytest.approx(0.4554, abs=1e-4)
    whole = read_table(shared_data("illumina/GSM744991.txt"), illumina=True)
    found = illumina_to_genes(whole, _human())
    assert (found.recognised_as, found.share_of_rows, found.share_of_known) == ("humanv3", 1, 1)
    assert found.values["value"].min() < 0
    choice = _human()["humanv3"].drop_nulls()
    genes = dict(choice.iter_rows())
    assert found.values.rows() == [
        (genes[probe], value) for probe, value in whole.iter_rows() if probe in genes
    ]
    assert found.mapped == len(choice)


def test_all_genes_of_a_probe_and_the_largest_share_however_small() -> None:
    large = pl.DataFrame({"probe": ["a", "b", "c", "d", "e"], "gene": ["L", "L", None, "L", "L"]})
    small = pl.DataFrame({"probe": ["a", "a", "q"], "gene": ["G1", "G2", "G3"]})
    table = pl.DataFrame({"id": ["b", "a", *"uvwxyz", "a"], "value": [9.0, 1, *[0.0] * 6, 2]})
    found = illumina_to_genes(table, {"large": large, "small": small})
    assert found.recognised_as == "small"
    assert found.values.rows() == [("G1", 1.0), ("G2", 1.0), ("G1", 2.0), ("G2", 2.0)]
    assert (found.rows, found.mapped) == (9, 2)
    assert (found.share_of_rows, found.share_of_known) == (1 / 9, 1 / 2)
    first = illumina_to_genes(table, {"first": small, "second": small})
    assert first.recognised_as == "first"


def test_foreign_probes_and_no_array() -> None:
    table = read_soft_table(shared_data(GSM11805), "GSM11805")
    with pytest.raises(IdentifiersNotRecognised, match="22283"):
        illumina_to_genes(table, _human())
    with pytest.raises(MissingProbeAnnotation):
        illumina_to_genes(table, {})
