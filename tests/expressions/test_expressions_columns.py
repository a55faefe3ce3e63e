"""Values of expressions on a few events, computed by hand."""

from __future__ import annotations

import math
from typing import Any

import awkward as ak
import numpy as np
import pytest

from gridloom.expressions import functions_reference, parse, parse_all
from gridloom.expressions.columns import evaluate, evaluate_condition, evaluate_per_event
from gridloom.expressions.functions import FUNCTIONS

NAN = math.nan
BIG = 2**64 - 1


def jagged(*lists: list[Any], dtype: str = "float32") -> Any:
    return ak.values_astype(ak.Array(list(lists)), dtype)


COLUMNS: dict[str, Any] = {
    "Jet_pt": jagged([50.0, 30.0], [], [100.0, 20.0, 10.0]),
    "Jet_eta": jagged([0.0, 2.5], [], [1.0, -1.0, 3.0]),
    "Jet_phi": jagged([0.0, 3.0], [], [1.0, -3.0, 3.0]),
    "Jet_muon": jagged([-1, 0], [], [1, 0, 9], dtype="int16"),
    "Jet_tight": ak.Array([[True, False], [], [True, True, False]]),
    "Mu_pt": jagged([7.0], [3.0, 2.0], [5.0, 4.0]),
    "Mu_bits": jagged([3], [4, 5], [1, 7], dtype="uint8"),
    "nJet": np.array([2, 0, 3], dtype=np.uint32),
    "nMu": np.array([1, 2, 2], dtype=np.int32),
    "met": np.array([1.5, -2.5, NAN], dtype=np.float32),
    "event": np.array([BIG, 2**63 + 1, 7], dtype=np.uint64),
    "small": np.array([1, 2, 3], dtype=np.uint64),
    "flag": np.array([4, 5, 6], dtype=np.uint8),
    "ok": np.array([True, False, True]),
    "low": np.array([-(2**63), 2**63 - 1, 0], dtype=np.int64),
    "Jet.x": np.array([1.0, 2.0, 3.0]),
}

PER_EVENT: list[tuple[str, list[Any]]] = [
    ("1", [1, 1, 1]),
    ("true", [True, True, True]),
    ("Jet.x", [1.0, 2.0, 3.0]),
    # integers and doubles
    ("nJet - 5", [-3, -5, -2]),
    ("-nJet", [-2, 0, -3]),
    ("+ok", [1, 0, 1]),
    ("-ok", [-1, 0, -1]),
    ("ok + ok", [2, 0, 2]),
    ("nJet / 2", [1.0, 0.0, 1.5]),
    ("1 / nJet", [0.5, math.inf, 1 / 3]),
    ("-7 % 3", [-1, -1, -1]),
    ("7 % -3", [1, 1, 1]),
    ("7 % nJet", [1.0, NAN, 1.0]),
    ("isnan(5 % 0)", [True, True, True]),
    ("-7.5 % 2", [-1.5, -1.5, -1.5]),
    ("7 % 0.0", [NAN, NAN, NAN]),
    ("2 ^ nJet", [4.0, 1.0, 8.0]),
    ("-2 ** 2", [-4.0, -4.0, -4.0]),
    ("2 ** -1", [0.5, 0.5, 0.5]),
    ("0.1 + met * 0", [0.1, 0.1, NAN]),
    # 64 bits
    ("event", [BIG, 2**63 + 1, 7]),
    ("event % 2", [1, 1, 1]),
    ("event % -10", [5, 9, 7]),
    ("low % event", [-(2**63), 2**63 - 1, 0]),
    ("-7 % small", [0, -1, -1]),
    ("event - 9223372036854775808", [2**63 - 1, 1, 7 - 2**63]),
    ("event - 1", [float(BIG - 1), float(2**63), 6.0]),
    ("event * 2", [2.0**65, 2.0**64, 14.0]),
    ("-event", [-float(BIG), -float(2**63 + 1), -7.0]),
    ("low - 1", [-float(2**63 + 1), float(2**63 - 2), -1.0]),
    ("low + 0", [-(2**63), 2**63 - 1, 0]),
    ("small - 2", [-1, 0, 1]),
    ("event == 18446744073709551615", [True, False, False]),
    ("event > nJet", [True, True, True]),
    ("nMu < event", [True, True, True]),
    ("max(event, 8)", [float(BIG), float(2**63), 8.0]),
    ("max(small, 2)", [2, 2, 3]),
    # comparisons and logic
    ("0 < nJet < 3", [True, False, False]),
    ("nMu == 2 == nJet", [False, False, False]),
    ("met != 1.5", [False, True, False]),
    ("met == met", [True, True, False]),
    ("!(met > 0)", [False, True, True]),
    ("met && true", [True, True, False]),
    ("nJet and nMu", [True, False, True]),
    ("met > 0 || nJet == 3", [True, False, True]),
    ("not ok", [False, True, False]),
    ("met > 0 ? nJet : -1", [2, -1, -1]),
    ("ok ? nJet : 0.5", [2.0, 0.5, 3.0]),
    ("ok ? ok : false", [True, False, True]),
    ("Jet_pt[0] > 20 ? Jet_pt[1] : -1", [30.0, -1.0, 20.0]),
    ("if(nJet > 2, Jet_pt[2], 0)", [0.0, 0.0, 10.0]),
    # bits
    ("flag & 4", [4, 4, 4]),
    ("(flag & 3) == 1", [False, True, False]),
    ("flag | 1", [5, 5, 7]),
    ("~flag", [-5, -6, -7]),
    ("~ok", [False, True, False]),
    ("nJet > 1 & nMu < 2", [True, False, False]),
    ("ok | nJet == 0", [True, True, True]),
    ("event & 0xFF", [255, 1, 7]),
    ("event >> 63", [1, 1, 0]),
    ("flag >> 1", [2, 2, 3]),
    ("1 << nJet", [4, 1, 8]),
    ("1 << (nJet * 32)", [NAN, 1.0, NAN]),
    ("Jet_muon[0] >> 70", [NAN, NAN, NAN]),
    # over objects
    ("Sum$(Jet_pt)", [80.0, 0.0, 130.0]),
    ("Sum$(Jet_pt > 25)", [2, 0, 1]),
    ("sum(Mu_bits)", [3, 9, 8]),
    ("sum(Mu_bits * 4611686018427387904)", [3 * 2.0**62, 9 * 2.0**62, 2.0**65]),
    ("min(Jet_pt)", [30.0, NAN, 10.0]),
    ("Max$(Jet_pt)", [50.0, NAN, 100.0]),
    ("max(Mu_bits)", [3, 5, 7]),
    ("mean(Jet_pt)", [40.0, NAN, 130 / 3]),
    ("len(Jet_pt)", [2, 0, 3]),
    ("Length$(Jet_pt)", [2, 0, 3]),
    ("size(Jet_pt[Jet_tight])", [1, 0, 2]),
    ("count(Jet_pt > 25)", [2, 0, 1]),
    ("count(Jet_tight)", [1, 0, 2]),
    ("count(Mu_bits)", [1, 2, 2]),
    ("any(Jet_pt > 60)", [False, False, True]),
    ("all(Jet_pt > 25)", [True, True, False]),
    ("count(Jet_pt > 25 && nJet > 2)", [0, 0, 1]),
    ("MinIf$(Jet_pt, Jet_eta > 0)", [30.0, NAN, 10.0]),
    ("MaxIf$(Jet_pt, Jet_eta < 0)", [NAN, NAN, 20.0]),
    ("maxif(Jet_pt, ok)", [50.0, NAN, 100.0]),
    ("Sum$(Jet_pt * (Iteration$ < 1))", [50.0, 0.0, 100.0]),
    ("sum(Iteration$(Jet_pt))", [1, 0, 3]),
    ("Sum$(Jet_pt / Length$)", [40.0, 0.0, 130 / 3]),
    # one object
    ("Jet_pt[0]", [50.0, NAN, 100.0]),
    ("Jet_pt[2]", [NAN, NAN, 10.0]),
    ("Mu_bits[0]", [3, 4, 1]),
    ("Mu_bits[1]", [NAN, 5.0, 7.0]),
    ("Mu_bits[1] & 2", [NAN, 0.0, 2.0]),
    ("Jet_tight[0]", [1.0, NAN, 1.0]),
    ("Jet_tight[0] && ok", [True, False, True]),
    ("!Jet_tight[0]", [False, True, False]),
    ("Jet_tight[0] != true", [False, False, False]),
    ("Jet_pt[0] > 60", [False, False, True]),
    ("Jet_pt[0] != 50", [False, False, True]),
    ("Jet_pt[nMu]", [30.0, NAN, 10.0]),
    ("Mu_pt[Jet_muon[0]]", [NAN, NAN, 4.0]),
    ("first(Jet_pt)", [50.0, NAN, 100.0]),
    ("last(Jet_pt)", [30.0, NAN, 10.0]),
    ("Jet_pt[Jet_eta < 2.4][1]", [NAN, NAN, 20.0]),
    ("sum(Mu_pt[Jet_muon])", [7.0, 0.0, 9.0]),
    ("max(Mu_bits[Jet_muon])", [3.0, NAN, 7.0]),
    ("any(Mu_bits[Jet_muon] > 2)", [True, False, True]),
    ("any(Mu_bits[Jet_muon])", [True, False, True]),
    ("isnan(Jet_pt[1])", [False, True, False]),
    ("isfinite(Jet_pt[1])", [True, False, True]),
    ("isfinite(met)", [True, True, False]),
    ("isinf(1 / nJet)", [False, True, False]),
    ("Alt$(Jet_pt[1], -1)", [30.0, -1.0, 20.0]),
    ("Alt$(met, nJet)", [1.5, -2.5, 3.0]),
    ("Alt$(Jet_pt[2], Jet_pt[1])", [30.0, NAN, 10.0]),
    # functions
    ("min(nJet, 1)", [1, 0, 1]),
    ("TMath::Max(met, 0)", [1.5, 0.0, NAN]),
    ("min(3, nJet, nMu)", [1, 0, 2]),
    ("max(Jet_pt[1], 25)", [30.0, NAN, 25.0]),
    ("abs(nJet - 5)", [3, 5, 2]),
    ("fabs(met)", [1.5, 2.5, NAN]),
    ("sign(met)", [1.0, -1.0, NAN]),
    ("TMath::Sign(3, met)", [3.0, -3.0, 3.0]),
    ("clip(nJet, 1, 2)", [2, 1, 2]),
    ("clip(met, 0, 1)", [1.0, 0.0, NAN]),
    ("round(met)", [2.0, -3.0, NAN]),
    ("round(0.49999999999999994)", [0.0, 0.0, 0.0]),
    ("TMath::Nint(met)", [2.0, -2.0, NAN]),
    ("floor(met)", [1.0, -3.0, NAN]),
    ("ceil(met)", [2.0, -2.0, NAN]),
    ("trunc(met)", [1.0, -2.0, NAN]),
    ("sqrt(met)", [math.sqrt(1.5), NAN, NAN]),
    ("log(nJet)", [math.log(2), -math.inf, math.log(3)]),
    ("pow(nJet, 2)", [4.0, 0.0, 9.0]),
    ("fmod(nJet, 2)", [0, 0, 1]),
    ("atan2(1, -1)", [0.75 * math.pi] * 3),
    ("hypot(3, 4)", [5.0, 5.0, 5.0]),
    ("cos(TMath::Pi())", [-1.0, -1.0, -1.0]),
    ("isnan(nan())", [True, True, True]),
    ("inf() > 1", [True, True, True]),
    # physics
    ("deltaPhi(3, -3)", [6 - 2 * math.pi] * 3),
    ("deltaR(0, 3, 1, -3)", [math.hypot(1, 2 * math.pi - 6)] * 3),
    ("deltar(Jet_eta[0], Jet_phi[0], Jet_eta[1], Jet_phi[1])", [math.hypot(2.5, 3), NAN, 3.035281724473157]),
    ("mass(10, 0, 0, 0, 10, 0, pi(), 0)", [20.0, 20.0, 20.0]),
    ("mass(3, 0, 0, 4, 3, 0, pi(), 4)", [10.0, 10.0, 10.0]),
    ("mass(1, 0, 0, 0, 1, 0, 2 * pi() / 3, 0, 1, 0, -2 * pi() / 3, 0)", [3.0, 3.0, 3.0]),
    ("mass(Mu_pt, 0, Iteration$ * pi(), 0)", [0.0, math.sqrt(24), math.sqrt(80)]),
    ("mass(Jet_pt[Jet_pt > 60], 0, 0, 5)", [NAN, NAN, 5.0]),
    ("ptsum(Mu_pt, Iteration$ * pi())", [7.0, 1.0, 1.0]),
    ("ptsum(Jet_pt[Jet_pt > 60], 0)", [0.0, 0.0, 100.0]),
    ("ptsum(3, 0, 4, pi() / 2)", [5.0, 5.0, 5.0]),
    ("ptsum(Mu_pt[Jet_muon], 0)", [7.0, 0.0, 9.0]),
    ("mt(1, 0, nJet, pi())", [2 * math.sqrt(2), 0.0, 2 * math.sqrt(3)]),
]  # fmt: skip

PER_OBJECT: list[tuple[str, list[list[Any]]]] = [
    ("Jet_pt", [[50.0, 30.0], [], [100.0, 20.0, 10.0]]),
    ("Jet_pt / nJet", [[25.0, 15.0], [], [100 / 3, 20 / 3, 10 / 3]]),
    ("20 < Jet_pt < 60", [[True, True], [], [False, False, False]]),
    ("Jet_pt > 20 && ok", [[True, True], [], [True, False, False]]),
    ("Jet_pt[Jet_eta < 2.4]", [[50.0], [], [100.0, 20.0]]),
    ("Jet_pt[Jet_tight && nJet > 2]", [[], [], [100.0, 20.0]]),
    ("Mu_pt[Jet_muon]", [[NAN, 7.0], [], [4.0, 5.0, NAN]]),
    ("Mu_pt[Jet_muon] > 1", [[False, True], [], [True, True, False]]),
    ("Alt$(Mu_pt[Jet_muon], Jet_pt)", [[50.0, 7.0], [], [4.0, 5.0, 10.0]]),
    ("Mu_pt[Jet_muon][Jet_tight]", [[NAN], [], [4.0, 5.0]]),
    ("Mu_pt[Jet_muon[Jet_tight]]", [[NAN], [], [4.0, 5.0]]),
    ("(Mu_pt[Jet_muon])[Iteration$(Jet_pt)]", [[NAN, 7.0], [], [4.0, 5.0, NAN]]),
    ("Jet_pt / Max$(Jet_pt)", [[1.0, 0.6], [], [1.0, 0.2, 0.1]]),
    ("Iteration$(Jet_pt)", [[0, 1], [], [0, 1, 2]]),
    ("nJet * 0 + Jet_pt * 0 + Iteration$", [[0.0, 1.0], [], [0.0, 1.0, 2.0]]),
    ("Jet_tight ? Jet_pt : -1", [[50.0, -1.0], [], [100.0, 20.0, -1.0]]),
    ("ok ? Jet_pt : Jet_eta", [[50.0, 30.0], [], [100.0, 20.0, 10.0]]),
    ("max(Jet_pt, 40)", [[50.0, 40.0], [], [100.0, 40.0, 40.0]]),
    ("deltaPhi(Jet_phi, Jet_phi[0])", [[0.0, 3.0], [], [0.0, 2 * math.pi - 4, 2.0]]),
]


@pytest.mark.parametrize(("text", "expected"), PER_EVENT)
def test_values_per_event(text: str, expected: list[Any]) -> None:
    result = evaluate_per_event(parse(text), COLUMNS)
    assert isinstance(result, np.ndarray)
    assert {type(value) for value in result.tolist()} == {type(expected[0])}
    if result.dtype.kind == "f":
        np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-12)
    else:
        assert result.tolist() == expected


@pytest.mark.parametrize(("text", "expected"), PER_OBJECT)
def test_values_per_object(text: str, expected: list[list[Any]]) -> None:
    result = evaluate(parse(text), COLUMNS)
    assert isinstance(result, ak.Array)
    assert ak.num(result).tolist() == [len(values) for values in expected]
    np.testing.assert_allclose(np.asarray(ak.flatten(result)), np.concatenate(expected), rtol=1e-12)


@pytest.mark.parametrize("text", [text for text, _ in PER_EVENT + PER_OBJECT])
def test_a_chunk_without_events_has_the_same_type_or_none_missing(text: str) -> None:
    empty = {name: column[:0] for name, column in COLUMNS.items()}
    result = evaluate(parse(text), empty)
    assert len(result) == 0


@pytest.mark.parametrize("text", [text for text, _ in PER_EVENT])
def test_a_chunk_at_a_time_gives_the_same_values(text: str) -> None:
    whole = evaluate_per_event(parse(text), COLUMNS).astype(np.float64)
    parts = [
        evaluate_per_event(parse(text), {name: column[start : start + 1] for name, column in COLUMNS.items()})
        for start in range(3)
    ]
    np.testing.assert_array_equal(whole, np.concatenate([part.astype(np.float64) for part in parts]))


def test_conditions_are_false_where_missing() -> None:
    assert evaluate_condition(parse("Jet_pt[0]"), COLUMNS).tolist() == [True, False, True]
    assert evaluate_condition(parse("met"), COLUMNS).tolist() == [True, True, False]
    assert evaluate_condition(parse("nJet > 1"), COLUMNS).tolist() == [True, False, True]
    assert evaluate_condition(parse("1"), {}, events=2).tolist() == [True, True]


def test_doubles_are_used_for_single_precision_branches() -> None:
    pt = np.array([0.1], dtype=np.float32)
    assert evaluate(parse("pt * 3"), {"pt": pt})[0] == float(pt[0]) * 3


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([[1, 2], [3, 4]], dtype=np.int8), [[1, 2], [3, 4]]),
        (np.array([1.0, 2.0], dtype=">f4"), [1.0, 2.0]),
        (ak.Array([[1, None], [3]]), [[1.0, NAN], [3.0]]),
        (ak.Array([None, 2.5]), [NAN, 2.5]),
        (ak.Array([None, [3]]), [[], [3]]),
        (ak.Array([[3], []])[[1, 0]], [[], [3]]),
        (ak.from_regular(ak.Array(np.ones((2, 1)))), [[1.0], [1.0]]),
    ],
)
def test_forms_of_columns(array: Any, expected: list[Any]) -> None:
    result = evaluate(parse("x"), {"x": array})
    assert str(result.tolist()) == str(expected)


def test_a_missing_value_of_the_file_is_left_out_of_sums() -> None:
    column = ak.Array([[1.0, None], [None]])
    assert evaluate(parse("sum(x)"), {"x": column}).tolist() == [1.0, 0.0]
    assert str(evaluate(parse("min(x[x > 0])"), {"x": column}).tolist()) == str([1.0, NAN])


def test_a_shared_definition_is_computed_once() -> None:
    definitions = parse_all({"d0": "x + 1"} | {f"d{i}": f"d{i - 1} + d{i - 1}" for i in range(1, 14)})
    assert evaluate(definitions["d13"], {"x": np.array([1.0])}).tolist() == [2.0**14]


def test_every_function_has_an_implementation_and_a_meaning() -> None:
    rows = functions_reference()
    assert [name for name, _, _ in rows] == list(FUNCTIONS)
    for name, function in FUNCTIONS.items():
        for written in (name, *function.aliases, f"TMath::{name}", name.upper()):
            text = f"{written}({', '.join('x' * function.arguments[0])})"
            assert len(evaluate(parse(text), {"x": ak.Array([[1, 2], []])})) == 2
        assert function.meaning.endswith(".")
        assert function.signature.lower().startswith((name, *(alias.lower() for alias in function.aliases)))
